# Two years of imported events: progress can be watched, a break does not matter, and cleanup removes nothing that is
# not aggregated.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\n");
$node->start;
# Days 800 to 71 ago, so that most, but not all, are past the retention of 90 days.
$node->safe_psql('postgres', q{
	CREATE EXTENSION shadow_analytics;
	INSERT INTO analytics.settings VALUES ('import_grace_hours', '0')});
# As maintenance runs every minute, imported events are late ones.
$node->safe_psql('postgres', 'CALL analytics.maintain()') for 1 .. 3;
$node->safe_psql('postgres', q{
	CREATE TABLE imported AS SELECT (now() AT TIME ZONE 'UTC')::date - 800 AS first_day, (now() AT TIME ZONE 'UTC')::date - 71 AS last_day;
	INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
	SELECT md5('w' || n % 2)::uuid, md5('u' || n % 17)::uuid, 'login', (first_day + n / 3)::timestamp AT TIME ZONE 'UTC' + n % 3 * interval '7 hours'
	FROM imported, generate_series(0, 3 * 730 - 1) AS n});
is($node->safe_psql('postgres', q{SELECT count(*) FROM analytics.user_activity_default}), '2190', 'two years wait in the default partition');

# The last 200 days; the others are left to cleanup.
my $days = 200;
my $call = $node->safe_psql('postgres', qq{SELECT format('CALL analytics.backfill(%L, %L)', last_day - $days + 1, last_day) FROM imported});
sub start_backfill
{
	return IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', $call ], '>', \my $out, '2>', \my $error);
}

my $run = start_backfill();
ok($node->poll_query_until('postgres', q{SELECT percent_done > 5 AND percent_done < 100 AND total = 200 FROM analytics.job_progress WHERE step = 'backfill'}),
	'another session sees the share that is done');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM pg_stat_activity AS a, analytics.job_progress AS p
	WHERE a.pid = p.pid AND a.application_name ~ '^shadow_analytics: (backfill|repairing) \d{4}-'}), 'and the day it is at');
$node->safe_psql('postgres', q{SELECT pg_cancel_backend(pid) FROM analytics.job_progress WHERE step = 'backfill'});
ok(!$run->finish, 'cancelled');
my $before = $node->safe_psql('postgres', q{SELECT done FROM analytics.job_runs WHERE step = 'backfill'});
cmp_ok($before, '<', $days, "after $before days");
ok(start_backfill()->finish, 'called again');
is($node->safe_psql('postgres', q{SELECT string_agg(outcome || ' ' || done, ', ' ORDER BY started_at) FROM analytics.job_runs WHERE step = 'backfill'}),
	"interrupted $before, done $days", 'it goes on where it was');

my $wrong = q{
	SELECT count(*) FROM
	(SELECT md5('w' || n % 2)::uuid AS workspace_id, first_day + n / 3 AS metric_date, count(*) AS n FROM imported, generate_series(0, 3 * 730 - 1) AS n GROUP BY 1, 2) AS e
	FULL JOIN (SELECT workspace_id, metric_date, total_events AS n FROM analytics.daily_metrics) AS d USING (workspace_id, metric_date)
	WHERE e.n IS DISTINCT FROM d.n };
is($node->safe_psql('postgres', "$wrong AND metric_date > (SELECT last_day - 200 FROM imported)"), '0', 'every day is right');
is($node->safe_psql('postgres', q{SELECT count(*) FROM analytics.user_activity_default WHERE created_at >= (SELECT last_day - 199 FROM imported)}), '0', 'and has a partition');
is($node->safe_psql('postgres', q{SELECT count(*) FROM analytics.dirty_hours WHERE metric_hour >= (SELECT last_day - 199 FROM imported)}), '0', 'nothing is left to repair');
is($node->safe_psql('postgres', q{SELECT total_users FROM analytics.daily_metrics WHERE workspace_id = md5('w0')::uuid ORDER BY metric_date DESC LIMIT 1}),
	'17', 'users are counted over all of them');

# What came without a backfill is aggregated before it goes.
is($node->safe_psql('postgres', $wrong) > 0, 1, 'the other days are not aggregated');
my $expired = $node->safe_psql('postgres', q{SELECT count(*) FROM analytics.user_activity WHERE created_at < now() - interval '90 days'});
my $removed = 0;
for (1 .. 20)
{
	my ($rows, $note) = split /\|/, $node->safe_psql('postgres', q{SELECT rows_deleted, note FROM analytics.cleanup_old_data() WHERE table_name = 'user_activity'}), 2;
	$removed += $rows;
	last if $note eq '';
}
cmp_ok(abs($removed - $expired), '<=', 3, "$removed events were removed"); # some expire while this runs
is($node->safe_psql('postgres', q{SELECT count(*) FROM analytics.user_activity WHERE created_at < now() - interval '91 days'}), '0', 'all that have expired');
is($node->safe_psql('postgres', $wrong), '0', 'every day is still right');
is($node->safe_psql('postgres', q{SELECT sum(events) FROM analytics.sealed_days}), $removed, 'and sealed with its number of events');
is($node->safe_psql('postgres', q{CALL analytics.maintain()} . ';' . $wrong), '0', 'nothing is overwritten afterwards');

$node->stop;
done_testing();
