# Every published version, updated, ends in exactly the objects of a fresh install, with comments, privileges and
# policies, and keeps its data. What the comparison sees is tried first, on deliberate changes.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FullDatabase;
use InstalledObjects;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]); # whatever the environment says
$node->append_conf('postgresql.conf', "fsync = off\njit = off\n");
$node->start;

$node->safe_psql('postgres', 'CREATE DATABASE fresh');
$node->safe_psql('fresh', 'CREATE EXTENSION shadow_analytics');
my $fresh = InstalledObjects::facts($node, 'fresh');
cmp_ok(scalar(split /\n/, $fresh), '>', 1000, 'facts about a fresh install');
for my $change (
	"COMMENT ON COLUMN analytics.daily_metrics.currency IS 'other'", 'GRANT SELECT ON analytics.watermark TO PUBLIC', 'GRANT SELECT (name) ON analytics.settings TO PUBLIC',
	'ALTER POLICY member_reads ON analytics.daily_metrics USING (true)', 'ALTER POLICY member_reads ON analytics.daily_metrics TO pg_monitor', 'ALTER TABLE analytics.settings DISABLE TRIGGER check_setting',
	'ALTER TABLE analytics.job_runs ALTER COLUMN rows SET DEFAULT 1', 'ALTER TABLE analytics.watermark DROP CONSTRAINT watermark_order', 'ALTER TABLE analytics.settings FORCE ROW LEVEL SECURITY',
	'GRANT EXECUTE ON FUNCTION analytics.post_restore() TO PUBLIC', 'ALTER FUNCTION analytics.post_restore() RESET search_path', 'GRANT USAGE ON SCHEMA analytics_internal TO PUBLIC',
	'CREATE INDEX ON analytics.job_runs (pid)', 'ALTER EXTENSION shadow_analytics DROP FUNCTION analytics.post_restore()')
{
	isnt(InstalledObjects::difference($fresh, $node->safe_psql('fresh', "BEGIN; $change; $InstalledObjects::facts")), '', "seen: $change");
}

my $current = $node->safe_psql('postgres', q{SELECT default_version FROM pg_available_extensions WHERE name = 'shadow_analytics'});
is($node->safe_psql('postgres', qq{SELECT source FROM pg_extension_update_paths('shadow_analytics') WHERE target = '$current' AND source <> target AND path IS NULL}),
	'', 'every published version has a path to the current one');
my @published = split /\n/, $node->safe_psql('postgres', qq{SELECT version FROM pg_available_extension_versions WHERE name = 'shadow_analytics' AND version <> '$current'});
note 'published before: ' . (@published ? "@published" : 'none');
for my $version (@published)
{
	my $database = 'from_' . $version =~ s/\W/_/gr;
	$node->safe_psql('postgres', "CREATE DATABASE $database");
	# The current library serves the old SQL.
	$node->safe_psql($database, "CREATE EXTENSION shadow_analytics VERSION '$version'");
	FullDatabase::fill($node, $database, FullDatabase::first_day($node));
	my $before = FullDatabase::content($node, $database, 1);
	$node->safe_psql($database, 'ALTER EXTENSION shadow_analytics UPDATE');
	FullDatabase::is_same(FullDatabase::content($node, $database, 1), $before, "$version: every row of every table is kept");
	$node->safe_psql($database, 'SELECT analytics.post_restore()');
	$node->safe_psql('fresh', q{SELECT analytics.setup_roles(), analytics.grant_operator('operator')});
	is(InstalledObjects::difference(InstalledObjects::facts($node, 'fresh'), InstalledObjects::facts($node, $database)), '',
		"$version updated is a fresh $current, and so are the roles' privileges after post_restore()");
	my (undef, undef, $error) = $node->psql($database, 'CALL analytics.maintain(); CALL analytics.maintain()');
	is($error, '', "$version: maintenance goes on");
	is($node->safe_psql($database, 'SELECT count(*) FROM analytics.dirty_hours'), '0', "$version: and repairs what was noted");
	is($node->safe_psql($database, q{SELECT check_name, detail FROM analytics.health() WHERE status = 'fail' AND check_name <> 'failed_days'}), '', "$version: health() sees no failure but the one there was");
}

$node->stop;
done_testing();
