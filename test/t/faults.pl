# Sessions, writers, maintain() and the whole server are killed, cancelled and timed out at random moments of random
# steps. After each blow whatever is said to be final equals an independent calculation, nothing is half made, and the
# next maintain() makes the rest right. FAULT_ROUNDS and SEED in the environment prolong and repeat it: make check-faults.
use strict;
use warnings;

use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $rounds = $ENV{FAULT_ROUNDS} // 6;
my $seed = srand($ENV{SEED} // time);
note "SEED=$seed";

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "restart_after_crash = on\nfsync = off\nautovacuum = off\njit = off\n");
$node->start;
$node->safe_psql('postgres', q{CREATE EXTENSION shadow_analytics; INSERT INTO analytics.settings VALUES ('import_grace_hours', '0')});
$node->safe_psql('postgres', "\\i $FindBin::RealBin/../sql/include/oracle.sql");

# Events of the last week, until two days ago so that they are over everywhere; and of a day past its retention,
# which cleanup aggregates and drops.
$node->safe_psql('postgres', <<'SQL');
INSERT INTO analytics.workspace_settings (workspace_id, time_zone)
VALUES (md5('w1')::uuid, 'Asia/Kolkata'), (md5('w2')::uuid, 'America/Los_Angeles');
INSERT INTO analytics.alert_rules (scope, name, metric_type, condition, threshold_value, evaluation_window_minutes)
VALUES ('platform', 'failures', 'failed_runs', 'greater_than', 0, 1440);
CREATE TABLE public.removed (day date, events bigint);

CREATE FUNCTION public.write_events(events integer) RETURNS void LANGUAGE sql AS $$
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT md5('w' || i % 4)::uuid, md5('u' || floor(random() * 12))::uuid, (ARRAY['agent_run', 'login', 'error'])[1 + i % 3],
       jsonb_build_object('agent_id', md5('a' || i % 3), 'run_id', 'r' || floor(random() * 500),
                          'status', (ARRAY['completed', 'failed', 'running'])[1 + floor(random() * 3)::integer],
                          'runtime', round(random()::numeric * 100, 2), 'credits', round(random()::numeric, 3)),
       date_trunc('second', date_trunc('day', now(), 'UTC') - interval '7 days' + random() * interval '5 days')
FROM generate_series(1, events) AS i $$;
CREATE FUNCTION public.change_events(round integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    expired date := current_date - 100 - round;
BEGIN
    PERFORM public.write_events(40);
    DELETE FROM analytics.user_activity WHERE random() < 0.01;
    UPDATE analytics.user_activity SET created_at = created_at - interval '1 hour' WHERE random() < 0.01;
    INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
    SELECT md5('old')::uuid, md5('u' || i)::uuid, 'login', expired + interval '12 hours' FROM generate_series(1, 5 + round) AS i;
    INSERT INTO public.removed VALUES (expired, 5 + round);
    INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata)
    VALUES (md5('now')::uuid, md5('u')::uuid, 'agent_run', '{"status": "failed"}');
    -- Everything is due again, and sometimes everything is to be closed again.
    DELETE FROM analytics.job_runs;
    IF round % 3 = 0 THEN
        DELETE FROM analytics.watermark;
    END IF;
END $$;

-- Rows of the last days that differ; with a mark only those that are said to be final.
CREATE FUNCTION public.wrong(mark timestamptz DEFAULT NULL) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM oracle.load(date_trunc('day', now(), 'UTC') - interval '9 days', date_trunc('day', now(), 'UTC') - interval '1 day');
    RETURN QUERY
    SELECT d.relation || ' ' || d.only_in || ' ' || d.row
    FROM (TABLE oracle.differences UNION ALL SELECT * FROM oracle.user_differences WHERE mark IS NULL) AS d
    LEFT JOIN LATERAL analytics_internal.workspace_day_bounds((d.row ->> 'workspace_id')::uuid, (d.row ->> 'metric_date')::date) AS b ON true,
    LATERAL (SELECT coalesce((d.row ->> 'metric_hour')::timestamptz, b.day_start) AS bucket_start,
                    coalesce((d.row ->> 'metric_hour')::timestamptz + interval '1 hour', b.day_end) AS bucket_end) AS t
    WHERE t.bucket_start >= now() - interval '20 days' AND d.row ->> 'workspace_id' <> md5('now')::uuid::text
      AND (mark IS NULL OR t.bucket_end <= mark AND NOT EXISTS (
          SELECT FROM analytics.dirty_hours AS h
          WHERE h.workspace_id = (d.row ->> 'workspace_id')::uuid
            AND h.metric_hour > t.bucket_start - interval '1 hour' AND h.metric_hour < t.bucket_end));
END $$;
CREATE VIEW public.half_made AS
SELECT 'table without parent: ' || c.relname AS what FROM pg_class AS c
WHERE c.relname ~ '^user_activity_' AND c.relkind = 'r' AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid)
UNION ALL
SELECT 'partition without key, policy or row security: ' || p.relation FROM analytics_internal.partitions() AS p
JOIN pg_class AS c ON c.oid = p.relation
WHERE NOT c.relrowsecurity OR NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = c.oid)
   OR NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)
UNION ALL
SELECT 'invalid index: ' || indexrelid::regclass FROM pg_index WHERE NOT (indisvalid AND indisready)
UNION ALL
SELECT 'in the default partition: ' || e.created_at FROM analytics.user_activity_default AS e
JOIN analytics_internal.partitions() AS p ON e.created_at >= p.from_time AND e.created_at < p.to_time
UNION ALL
SELECT 'expired day: ' || r.day FROM public.removed AS r
LEFT JOIN analytics.sealed_days AS s ON s.event_day = r.day
LEFT JOIN analytics.daily_metrics AS d ON d.workspace_id = md5('old')::uuid AND d.metric_date = r.day
WHERE (SELECT count(*) FROM analytics.user_activity WHERE workspace_id = md5('old')::uuid AND created_at >= r.day AND created_at < r.day + 1)
      + coalesce(s.events, 0) <> r.events OR s.events <> d.total_events OR s.events > 0 AND d IS NULL
UNION ALL
SELECT 'episodes: ' || count(*) FROM analytics.alert_history WHERE resolved_at IS NULL HAVING count(*) > 1;

-- Waits for the step, and a little more; the blow falls within one statement, so that it is quick.
CREATE FUNCTION public.strike(step text, how text, delay double precision) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    target integer;
BEGIN
    FOR i IN 1 .. 20000 LOOP
        PERFORM pg_stat_clear_snapshot();
        SELECT pid INTO target FROM pg_stat_activity WHERE application_name = 'shadow_analytics: ' || step;
        EXIT WHEN target IS NOT NULL;
        IF i % 50 = 0 AND EXISTS (SELECT FROM analytics.job_runs AS r WHERE r.step = 'maintain' AND r.outcome <> 'running') THEN
            RETURN 'missed';
        END IF;
        PERFORM pg_sleep(0.0002);
    END LOOP;
    PERFORM pg_sleep(delay);
    IF how = 'kill writer' THEN
        SELECT pid INTO target FROM pg_stat_activity WHERE application_name = 'writer';
    END IF;
    CASE how
        WHEN 'cancel' THEN PERFORM pg_cancel_backend(target);
        WHEN 'terminate' THEN PERFORM pg_terminate_backend(target);
        ELSE EXECUTE format('COPY (SELECT 1) TO PROGRAM %L', format('cat > /dev/null; kill -9 %s',
            CASE how WHEN 'kill server' THEN split_part(pg_read_file('postmaster.pid'), E'\n', 1) ELSE target::text END));
    END CASE;
    RETURN 'struck';
END $$;
SELECT public.write_events(400);
ANALYZE;
SQL

sub query { return $node->safe_psql('postgres', shift) }

sub wait_for_server
{
	my $tries = 0;
	my @ask = ('psql', '-X', '-q', '-d', $node->connstr('postgres'), '-c', 'SELECT 1'); # one that ends before it reads its input is no error
	until (IPC::Run::run(\@ask, '>', \my $out, '2>', \my $error) or ++$tries > 600) { select(undef, undef, undef, 0.05) }
}

# A killed server's sessions notice it only when they next wait; until then a new server does not start.
sub start_again
{
	for (1 .. 200)
	{
		$node->kill9; # forgets the dead one
		return if $node->start(fail_ok => 1);
		select(undef, undef, undef, 0.1);
	}
	BAIL_OUT('the server does not start again');
}

query('SELECT public.change_events(0); CALL analytics.maintain()');
is(query('SELECT public.wrong()'), '', 'undisturbed: every rollup is right');
is(query('TABLE public.half_made'), '', 'undisturbed: nothing is half made');
is(query('SELECT count(*) FROM analytics.daily_metrics WHERE is_final') > 20, 1, 'and there is something to compare');

my @steps = qw(create_partitions close_buckets repair_buckets aggregate_open index_partitions refresh_views cleanup evaluate_alerts analyze);
my @blows = ('kill', 'kill server', 'cancel', 'terminate', 'timeout', 'kill writer');
my $offset = int rand @steps;
for my $round (1 .. $rounds)
{
	my $i = $round - 1;
	my $step = $steps[ ($i + $offset) % @steps ];
	my $blow = $blows[ ($i + int($i / @steps)) % @blows ];
	my $delay = rand() ** 2 * 0.1;
	query("SELECT public.change_events($round)");

	my $struck = '';
	my $timeout = $blow eq 'timeout' ? 1 + int rand 1500 : 0;
	my @sessions = IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres') . " options='-c statement_timeout=$timeout'",
		'-c', 'CALL analytics.maintain()' ], '>', \my $out, '2>', \my $error);
	if ($blow eq 'kill writer')
	{
		push @sessions, IPC::Run::start([ 'psql', '-X', '-q', '-d', $node->connstr('postgres') . ' application_name=writer', '-c',
			'SELECT public.write_events(1), pg_sleep(0.001) FROM generate_series(1, 5000)' ], '>', \my $writer_out, '2>', \my $writer_error);
	}
	$node->psql('postgres', "SELECT public.strike('$step', '$blow', $delay)", stdout => \$struck)
		unless $blow eq 'timeout';
	start_again() if $blow eq 'kill server' and ($struck // '') ne 'missed';
	$_->finish for @sessions;
	wait_for_server();

	my $name = sprintf('round %d, %s in %s after %.4f s', $round, $blow, $step, $delay);
	note $name . ($struck ? " ($struck)" : '') . ': ' . (split /\n/, $error)[0] if $error;
	is(query('TABLE public.half_made'), '', "$name: nothing is half made");
	is(query(q{SELECT public.wrong(coalesce((SELECT closed_until FROM analytics.watermark), '-infinity'))}), '', "$name: what is final is right");
	my ($status, undef, $complaint) = $node->psql('postgres', 'CALL analytics.maintain()');
	is("$status $complaint", '0 ', "$name: maintain() succeeds");
	is(query('SELECT public.wrong()'), '', "$name: and every rollup is right")
		and is(query(q{SELECT string_agg(step || outcome, ' ') FROM analytics.job_runs WHERE outcome NOT IN ('done', 'interrupted')}),
			'', "$name: no run is left open");
	is(query('TABLE public.half_made'), '', "$name: nothing is half made");
}
is(query('SELECT count(*) FROM public.removed AS r JOIN analytics.sealed_days AS s ON s.event_day = r.day'),
	$rounds + 1, 'every expired day was aggregated, then dropped');
is(query('SELECT count(*) FROM analytics.alert_history'), '1', 'one episode of the alert');

$node->stop;
unlike(slurp_file($node->logfile), qr/TRAP:|PANIC:|terminated by signal (?!9:)/, 'no crash of its own');
done_testing();
