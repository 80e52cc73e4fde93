# pg_upgrade, copying and linking, from a cluster in which every table holds rows and every setting is changed: nothing is
# lost, everything can be read, and maintenance goes on. OLD_SERVER names the installation to upgrade from (the directory
# above its bin, with the extension); without it the cluster is upgraded to its own version.
use strict;
use warnings;

use Cwd;
use FindBin;
use lib $FindBin::RealBin;
use FullDatabase;
use InstalledObjects;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# pg_upgrade wants both clusters to agree about checksums, whose default changed in 18.
sub init
{
	my ($node) = @_;
	$node->init(extra => [ '--encoding=UTF8', '--locale=C', $node->pg_version >= 18 ? '--no-data-checksums' : () ]);
	$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\njit = off\n");
}

# A view that was read from a dump is printed with fewer parentheses and more column names.
sub plain
{
	return join "\n", map { / view / ? s{ AS "?\w+"?}{}gr =~ s{[()\s]+}{}gr : $_ } split /\n/, $_[0];
}

my $old = PostgreSQL::Test::Cluster->new('old', install_path => $ENV{OLD_SERVER});
init($old);
$old->start;
my $version = $old->safe_psql('postgres', 'SHOW server_version');
$old->safe_psql('postgres', 'CREATE DATABASE origin');
$old->safe_psql('origin', 'CREATE EXTENSION shadow_analytics');
FullDatabase::fill($old, 'origin', FullDatabase::first_day($old));

# What is read, from every kind of stored set and sketch.
my $reads = q{SET TimeZone = 'UTC';
	SELECT to_jsonb(r) FROM analytics.get_workspace_metrics(md5('w1')::uuid, current_date - 30, current_date - 1) AS r;
	SELECT to_jsonb(r) FROM analytics.get_active_users(md5('w1')::uuid, current_date - 30, current_date - 1) AS r;
	SELECT to_jsonb(r) FROM analytics.get_agent_insights(md5('a1')::uuid, 30) AS r;
	SELECT workspace_id, metric_date, analytics.quantile(runtime_sketch, 0.5) FROM analytics.daily_metrics ORDER BY 1, 2};
my @facts = (
	[ 'every row of every table', sub { FullDatabase::content($_[0], 'origin', 1) } ],
	[ 'every partition', sub { FullDatabase::partitions($_[0], 'origin') } ],
	# What PostgreSQL 17 adds for owners is nobody's loss.
	[ 'every privilege', sub { FullDatabase::privileges($_[0], 'origin') =~ s/^.*\|MAINTAIN\n?//mgr } ],
	[ 'what materialized views hold', sub { FullDatabase::views($_[0], 'origin') } ],
	[ 'what is read', sub { $_[0]->safe_psql('origin', $reads) } ]);
my %before = map { $_->[0] => $_->[1]->($old) } @facts;
$old->stop;

for my $mode ('copy', 'link')
{
	my $new = PostgreSQL::Test::Cluster->new($mode);
	init($new);
	my $directory = getcwd;
	chdir $new->basedir; # where pg_upgrade leaves its scripts
	$new->command_ok([ 'pg_upgrade', '--no-sync', $mode eq 'link' ? '--link' : (), '--old-bindir', $old->config_data('--bindir'), '--new-bindir', $new->config_data('--bindir'),
		'--old-datadir', $old->data_dir, '--new-datadir', $new->data_dir, '--old-port', $old->port, '--new-port', $new->port, '--socketdir', $new->host ],
		"pg_upgrade by $mode");
	chdir $directory;
	$new->start;
	my $name = "$version to " . $new->safe_psql('postgres', 'SHOW server_version') . " by $mode";
	for my $fact (@facts)
	{
		FullDatabase::is_same($fact->[1]->($new), $before{ $fact->[0] }, "$name: $fact->[0] is the same");
	}

	# Objects, with what a fresh extension has on the new server.
	$new->safe_psql('postgres', 'CREATE DATABASE fresh');
	$new->safe_psql('fresh', 'CREATE EXTENSION shadow_analytics');
	$new->safe_psql('fresh', q{SELECT analytics.setup_roles(), analytics.grant_operator('operator'), analytics.grant_reader('dashboards'), analytics.grant_reader('dashboards_w1', md5('w1')::uuid)});
	is(InstalledObjects::difference(map { plain(InstalledObjects::facts($new, $_)) } 'fresh', 'origin'), '', "$name: every object is that of a fresh install");

	# Life goes on: what was closing is closed, what was noted is repaired, and new events count.
	$new->safe_psql('origin', q{INSERT INTO analytics.user_activity (workspace_id, user_id, event_type) SELECT md5('after')::uuid, md5('u' || i)::uuid, 'login' FROM generate_series(1, 5) AS i});
	$new->safe_psql('origin', q{DELETE FROM analytics.job_runs WHERE step = 'aggregate_open'}); # due, however long ago it ran
	my (undef, undef, $warning) = $new->psql('origin', 'CALL analytics.maintain(); CALL analytics.maintain(); CALL analytics.maintain()');
	is($warning, '', "$name: maintain() goes on");
	is($new->safe_psql('origin', 'SELECT count(*) FROM analytics.dirty_hours'), '0', "$name: late events are repaired");
	is($new->safe_psql('origin', q{SELECT sum(total_events), sum(active_users) FROM analytics.daily_metrics WHERE workspace_id = md5('after')::uuid}), '5|5', "$name: new events are counted");
	is($new->safe_psql('origin', q{SELECT check_name, detail FROM analytics.health() WHERE status = 'fail' AND check_name <> 'failed_days'}), '', "$name: health() sees no failure but the one there was");
	$new->safe_psql('origin', 'SELECT analytics.post_restore()');
	$new->stop;
}

done_testing();
