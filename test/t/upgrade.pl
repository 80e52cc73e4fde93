# Every published version, updated, ends in exactly the objects of a fresh install, with comments, privileges and
# policies, and keeps its data. So does a small older version that is made here (OlderVersion.pm), which also shows that
# the comparison finds whatever a step forgets.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FullDatabase;
use InstalledObjects;
use OlderVersion;
use OwnInstallation;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $installation = OwnInstallation::make(PostgreSQL::Test::Utils::tempdir());
my $node = PostgreSQL::Test::Cluster->new('main', install_path => $installation->{path});
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]); # whatever the environment says
$node->append_conf('postgresql.conf', "fsync = off\njit = off\n");
$node->start;
my $current = $node->safe_psql('postgres', q{SELECT default_version FROM pg_available_extensions WHERE name = 'shadow_analytics'});

sub script_path { return "$installation->{extensions}/shadow_analytics--$_[0].sql" }

# The step from the older version to another with these changes.
sub install_step
{
	my ($to, @changes) = @_;
	append_to_file(script_path("$OlderVersion::name--$to"), join '', "\\echo Use ALTER EXTENSION. \\quit\nSET LOCAL search_path = pg_catalog, pg_temp;\n", map { $_->[1] } @changes);
	return;
}

my ($older, @changes) = OlderVersion::make(slurp_file(script_path($current)));
append_to_file(script_path($OlderVersion::name), $older);
install_step($current, @changes);
for my $forgotten (0 .. $#changes)
{
	install_step("without_$forgotten", @changes[ grep { $_ != $forgotten } 0 .. $#changes ]);
}

$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', 'CREATE EXTENSION shadow_analytics');
my $fresh = InstalledObjects::facts($node, 'fresh');
cmp_ok(scalar(split /\n/, $fresh), '>', 1000, 'facts about a fresh install');

# What the comparison sees: deliberate changes, ...
for my $change (
	"COMMENT ON COLUMN analytics.daily_metrics.currency IS 'other'", 'GRANT SELECT ON analytics.watermark TO PUBLIC', 'GRANT SELECT (name) ON analytics.settings TO PUBLIC',
	'ALTER POLICY member_reads ON analytics.daily_metrics USING (true)', 'ALTER POLICY member_reads ON analytics.daily_metrics TO pg_monitor', 'ALTER TABLE analytics.settings DISABLE TRIGGER check_setting',
	'ALTER TABLE analytics.job_runs ALTER COLUMN rows SET DEFAULT 1', 'ALTER TABLE analytics.watermark DROP CONSTRAINT watermark_order', 'ALTER TABLE analytics.settings FORCE ROW LEVEL SECURITY',
	'GRANT EXECUTE ON FUNCTION analytics.post_restore() TO PUBLIC', 'ALTER FUNCTION analytics.post_restore() RESET search_path', 'GRANT USAGE ON SCHEMA analytics_internal TO PUBLIC',
	'CREATE INDEX ON analytics.job_runs (pid)', 'ALTER EXTENSION shadow_analytics DROP FUNCTION analytics.post_restore()')
{
	isnt(InstalledObjects::difference($fresh, $node->safe_psql('fresh', "BEGIN; $change; $InstalledObjects::facts")), '', "seen: $change");
}

# ... and steps that have forgotten one.
$node->safe_psql('postgres', 'CREATE DATABASE forgetful');
$node->safe_psql('forgetful', "CREATE EXTENSION shadow_analytics VERSION '$OlderVersion::name'");
for my $forgotten (0 .. $#changes)
{
	my $facts = $node->safe_psql('forgetful', "BEGIN; ALTER EXTENSION shadow_analytics UPDATE TO 'without_$forgotten'; $InstalledObjects::facts");
	my @found = split /\n/, InstalledObjects::difference($fresh, $facts);
	my $is_about_it = qr/^[-+] \Q$changes[$forgotten][0]\E/;
	ok(@found && !(grep { $_ !~ $is_about_it } @found), "found, and nothing else, where a step forgets it: $changes[$forgotten][0]") or diag(join "\n", @found);
}

# The columns that both databases have, by table.
sub common_columns
{
	my ($one, $other) = map { FullDatabase::columns($node, $_) } @_;
	my %common;
	for my $table (grep { $other->{$_} } keys %$one)
	{
		my %is_there = map { $_ => 1 } @{ $other->{$table} };
		$common{$table} = [ grep { $is_there{$_} } @{ $one->{$table} } ];
	}
	return \%common;
}

# Names of steps have two versions.
my @published = grep { $_ ne $current && !/--/ } map { /shadow_analytics--(.+)\.sql$/ } glob 'sql/shadow_analytics--*.sql';
note 'published before: ' . (@published ? "@published" : 'none');
for my $version (@published, $OlderVersion::name)
{
	my $database = 'from_' . $version =~ s/\W/_/gr;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	# The current library serves the old SQL.
	$node->safe_psql($database, "CREATE EXTENSION shadow_analytics VERSION '$version'");
	FullDatabase::fill($node, $database, FullDatabase::first_day($node));
	my $columns = common_columns($database, 'fresh');
	my $before = FullDatabase::content($node, $database, 1, $columns);
	$node->safe_psql($database, 'ALTER EXTENSION shadow_analytics UPDATE');
	FullDatabase::is_same(FullDatabase::content($node, $database, 1, $columns), $before, "$version: every row of every table is kept");
	$node->safe_psql($database, 'SELECT analytics.post_restore()');
	$node->safe_psql('fresh', q{SELECT analytics.setup_roles(), analytics.grant_operator('operator'), analytics.grant_reader('dashboards'), analytics.grant_reader('dashboards_w1', md5('w1')::uuid)});
	is(InstalledObjects::difference(InstalledObjects::facts($node, 'fresh'), InstalledObjects::facts($node, $database)), '',
		"$version updated is a fresh $current, and so are the roles' privileges after post_restore()");
	my (undef, undef, $error) = $node->psql($database, 'CALL analytics.maintain(); CALL analytics.maintain()');
	is($error, '', "$version: maintenance goes on");
	is($node->safe_psql($database, 'SELECT count(*) FROM analytics.dirty_hours'), '0', "$version: and repairs what was noted");
	is($node->safe_psql($database, q{SELECT check_name, detail FROM analytics.health() WHERE status = 'fail' AND check_name <> 'failed_days'}), '', "$version: health() sees no failure but the one there was");
}

$node->stop;
done_testing();
