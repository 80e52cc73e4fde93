# 120 simulated days on which nothing but the four scheduled statements of the original description runs: at the end
# every rollup equals the plain-SQL calculation, whatever the workspace's time zone and however late events came.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use PostgreSQL::Test::Utils;
use SimulatedClock;
use Test::More;

my $days = $ENV{SHADOW_TEST_DAYS} // 120;
my $node = SimulatedClock::start('main', "synchronous_commit = off\n");
$node->safe_psql('postgres', q{SELECT clock.set('2025-01-01 00:00+00')});
$node->safe_psql('postgres', q{
	CREATE EXTENSION shadow_analytics;
	INSERT INTO analytics.settings VALUES ('import_grace_hours', '0');
	INSERT INTO analytics.workspace_settings (workspace_id, time_zone) VALUES
		(md5('w1')::uuid, 'America/Los_Angeles'), (md5('w2')::uuid, 'Asia/Kolkata'), (md5('w3')::uuid, 'Pacific/Kiritimati');
	INSERT INTO analytics.credit_prices (price) VALUES (0.01);
	-- What retention removes is kept here, for the comparison.
	CREATE TABLE kept (LIKE analytics.user_activity INCLUDING DEFAULTS);

	CREATE FUNCTION pick(VARIADIC choices text[]) RETURNS text LANGUAGE sql AS
	$$ SELECT choices[1 + floor(random() * cardinality(choices))] $$;
	CREATE FUNCTION make_event(at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		type text := pick('agent_run', 'agent_run', 'error', 'page_view', 'login', 'api_call');
	BEGIN
		WITH event AS (
			INSERT INTO kept (workspace_id, user_id, event_type, event_name, metadata, created_at)
			VALUES (md5('w' || pick('1', '2', '3', '4'))::uuid, md5('u' || floor(40 * random() * random()))::uuid, type, pick('a', 'b'),
			        CASE type WHEN 'page_view' THEN '{}' WHEN 'login' THEN jsonb_build_object('revenue', 5)
			        ELSE jsonb_build_object('status', pick('completed', 'failed', 'cancelled', 'running'), 'run_id', pick('1', '2', '3', '4', '5'),
			             'agent_id', md5('a' || pick('1', '2', '3'))::uuid, 'credits', round(random()::numeric * 10, 2),
			             'runtime_seconds', round(random()::numeric * 100, 3), 'error_type', pick('timeout', 'crash')) END,
			        at - random() * interval '1 hour')
			RETURNING *)
		INSERT INTO analytics.user_activity SELECT * FROM event;
	END $$;
	-- Among the late ones are some of the last hours, some of old days, and none from before the beginning.
	CREATE FUNCTION make_events() RETURNS void LANGUAGE plpgsql AS $$
	DECLARE
		old kept;
	BEGIN
		PERFORM make_event(now()) FROM generate_series(1, (random() * 3)::integer);
		IF random() < 0.3 THEN
			PERFORM make_event(greatest(now() - random() * random() * random() * interval '80 days', '2025-01-01 01:00+00'));
		END IF;
		IF random() < 0.05 THEN
			SELECT * INTO old FROM kept WHERE created_at > now() - interval '80 days' ORDER BY random() LIMIT 1;
			DELETE FROM kept AS k WHERE k.id = old.id;
			DELETE FROM analytics.user_activity AS e WHERE (e.workspace_id, e.created_at, e.id) = (old.workspace_id, old.created_at, old.id);
		END IF;
	END $$;

	CREATE PROCEDURE live(first_hour integer, hours integer, is_used boolean) LANGUAGE plpgsql AS $$
	BEGIN
		FOR n IN first_hour .. first_hour + hours - 1 LOOP
			PERFORM clock.set(TIMESTAMPTZ '2025-01-01 00:00+00' + n * interval '1 hour');
			COMMIT;
			IF is_used THEN
				PERFORM make_events();
			END IF;
			COMMIT;
			CASE n % 24
				WHEN 1 THEN PERFORM analytics.aggregate_daily_metrics(CURRENT_DATE - 1);
				WHEN 2 THEN PERFORM analytics.refresh_all_materialized_views();
				WHEN 3 THEN
					IF extract(dow FROM now()) = 0 THEN
						PERFORM analytics.cleanup_old_data();
					END IF;
				ELSE NULL;
			END CASE;
			COMMIT;
			PERFORM clock.advance('5 minutes');
			COMMIT;
			PERFORM analytics.aggregate_hourly_metrics(DATE_TRUNC('hour', NOW() - INTERVAL '1 hour'));
			COMMIT;
		END LOOP;
	END $$});

sub live
{
	my ($first, $count, $is_used) = @_;
	my ($out, $err);
	$node->psql('postgres', sprintf(q{SET timezone = 'UTC'; SET client_min_messages = warning; SELECT setseed(%s); CALL live(%d, %d, %s)},
			$first % 97 / 97, $first * 24, $count * 24, $is_used), stderr => \$err, on_error_die => 1);
	is($err, '', "days $first to " . ($first + $count) . ' without a warning');
}

live(0, 30, 'true');
# Whatever is older than two days is right already.
is($node->safe_psql('postgres', q{
	SELECT count(*) FROM
	(SELECT workspace_id, (created_at AT TIME ZONE analytics.workspace_time_zone(workspace_id, created_at))::date AS day, count(*) AS n
	 FROM kept GROUP BY 1, 2) AS e
	FULL JOIN (SELECT workspace_id, metric_date AS day, total_events AS n FROM analytics.daily_metrics) AS d USING (workspace_id, day)
	WHERE e.n IS DISTINCT FROM d.n AND day < now()::date - 3}), '0', 'days of the last month');
live(30, $days - 30, 'true');
live($days, 3, 'false');

note $node->safe_psql('postgres', q{SELECT count(*) FROM kept}) . ' events, '
  . $node->safe_psql('postgres', q{SELECT count(*) FROM analytics.user_activity}) . ' not expired';
is($node->safe_psql('postgres', q{SELECT count(*) > 0 FROM analytics.user_activity_default}), 'f', 'partitions were made ahead in time');
if ($days > 100)
{
	is($node->safe_psql('postgres', q{SELECT max(day) < now()::date - 80, count(*) > 10 FROM
		(SELECT DISTINCT event_day AS day FROM analytics.sealed_days) AS d}), 't|t', 'expired events are gone');
}

# Everything that was ever sent, once more.
$node->safe_psql('postgres', q{
	SET row_security = off;
	INSERT INTO analytics.user_activity SELECT k.* FROM kept AS k
	WHERE NOT EXISTS (SELECT FROM analytics.user_activity AS e WHERE (e.workspace_id, e.created_at, e.id) = (k.workspace_id, k.created_at, k.id))});
is($node->safe_psql('postgres', q{SELECT count(*) = (SELECT count(*) FROM kept) FROM analytics.user_activity}), 't', 'nothing is in excess');
$node->safe_psql('postgres', slurp_file("$FindBin::RealBin/../sql/include/oracle.sql"));
$node->safe_psql('postgres', 'SET jit = off; SELECT oracle.load()');
for my $relation ('daily_metrics', 'agent_performance', 'daily_event_counts')
{
	is($node->safe_psql('postgres', qq{SELECT * FROM oracle.difference_by_column WHERE relation = '$relation' LIMIT 20}), '', $relation);
}
is($node->safe_psql('postgres', q{SELECT * FROM oracle.difference_by_column
	WHERE relation = 'hourly_metrics' AND (key ->> 'hour')::timestamptz > now() - interval '30 days' LIMIT 20}), '', 'hourly_metrics, as long as they are kept');
is($node->safe_psql('postgres', q{SELECT * FROM oracle.user_differences LIMIT 20}), '', 'new, returning and total users');
# Each percentage of every cohort from the events themselves; no cohort whose first period is over is missing.
is($node->safe_psql('postgres', q{
	SET jit = off;
	CREATE TEMP TABLE unit (period, unit, step) AS VALUES ('daily', 'day', interval '1 day'), ('weekly', 'week', '1 week'), ('monthly', 'month', '1 month');
	CREATE TEMP TABLE active AS
	SELECT DISTINCT u.period, e.workspace_id, e.user_id, date_trunc(u.unit, e.created_at AT TIME ZONE analytics.workspace_time_zone(e.workspace_id, e.created_at))::date AS start
	FROM kept AS e, unit AS u;
	CREATE TEMP TABLE cohort AS
	SELECT period, workspace_id, user_id, min(start) AS cohort_date, max(start) AS last_start FROM active GROUP BY 1, 2, 3;
	CREATE TEMP TABLE stored AS
	SELECT cohort_period AS period, workspace_id, cohort_date, initial_users, (cohort_date + substring(key FROM '[0-9]+$')::integer * step)::date AS start,
	       b.value::numeric AS bounded, (c.retention_unbounded ->> b.key)::numeric AS unbounded
	FROM analytics.user_cohorts AS c JOIN unit AS u ON u.period = c.cohort_period, jsonb_each_text(c.retention_data) AS b;
	ANALYZE active, cohort, stored;
	SELECT s.* FROM stored AS s
	LEFT JOIN (SELECT period, workspace_id, cohort_date, count(*) AS users, array_agg(last_start) AS last_starts FROM cohort GROUP BY 1, 2, 3) AS c USING (period, workspace_id, cohort_date)
	LEFT JOIN (SELECT period, workspace_id, cohort_date, start, count(*) AS n FROM cohort JOIN active USING (period, workspace_id, user_id) GROUP BY 1, 2, 3, 4) AS r
		USING (period, workspace_id, cohort_date, start)
	WHERE (s.initial_users, s.bounded, s.unbounded) IS DISTINCT FROM
	      (c.users, round(100.0 * coalesce(r.n, 0) / c.users, 2), round(100.0 * (SELECT count(*) FROM unnest(c.last_starts) AS l WHERE l >= s.start) / c.users, 2))
	LIMIT 20;
	SELECT period, workspace_id, cohort_date FROM cohort JOIN unit USING (period) WHERE cohort_date + step < now() - interval '3 days'
	EXCEPT SELECT period, workspace_id, cohort_date FROM stored LIMIT 20;
	SELECT period FROM unit WHERE NOT EXISTS (SELECT FROM stored AS s WHERE s.period = unit.period AND s.start > s.cohort_date)}), '', 'user_cohorts');
is($node->safe_psql('postgres', q{SELECT count(*) > 100, bool_and(is_final) FROM analytics.daily_metrics}), 't|t', 'all days are final');

$node->stop;
done_testing();
