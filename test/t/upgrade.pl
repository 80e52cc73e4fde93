# Every published version, updated, ends in exactly the objects of a fresh install, with comments, privileges and
# policies, and keeps its data. What the comparison sees is tried first, on deliberate changes.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use InstalledObjects;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
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
	$node->safe_psql($database, qq{
		CREATE EXTENSION shadow_analytics VERSION '$version';
		INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at) SELECT md5('w')::uuid, md5('u' || i)::uuid, 'login', now() - interval '2 days' FROM generate_series(1, 10) AS i;
		CALL analytics.maintain()});
	my $rows = 'SELECT workspace_id, metric_date, total_events FROM analytics.daily_metrics ORDER BY 1, 2';
	my $before = $node->safe_psql($database, $rows);
	$node->safe_psql($database, 'ALTER EXTENSION shadow_analytics UPDATE');
	is(InstalledObjects::difference($fresh, InstalledObjects::facts($node, $database)), '', "$version updated is a fresh $current");
	is($node->safe_psql($database, $rows), $before, "$version: rollups are kept");
	my (undef, undef, $error) = $node->psql($database, 'CALL analytics.maintain()');
	is($error, '', "$version: maintenance goes on");
}

$node->stop;
done_testing();
