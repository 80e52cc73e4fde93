-- evaluate_alert_rules() with 1,000 rules over the events of their windows (a day), next to a sequential count of
-- the same events and to the rollups' aggregate over them, in turn and in one run: quote the ratios, not the times.
-- The aim: 1,000 rules over 1,000,000 events within a second on an idle machine, whatever their windows.
\set ON_ERROR_STOP on
\set QUIET on
\if :{?events} \else \set events 1000000 \endif
\if :{?workspaces} \else \set workspaces 100 \endif
\set day 2025-11-08
SET client_min_messages = warning;
\echo making :events events of :workspaces workspaces
\o /dev/null
\ir events.sql
SELECT analytics.create_partitions(:'day', :'day');
INSERT INTO analytics.user_activity (id, workspace_id, user_id, event_type, event_name, page_path, session_id,
                                     ip_address, user_agent, referrer, metadata, created_at)
SELECT * FROM bench.stage;
VACUUM ANALYZE analytics.user_activity;
\o

CREATE TEMP TABLE rule_set (place int, name text, metrics text[], windows int[], conditions text[]);
INSERT INTO rule_set VALUES
(3, '1,000 rules, five windows', '{failed_runs,failure_rate,error_rate,response_time,credits_consumed,active_users,agent_failures}',
    '{5,15,60,240,1440}', '{greater_than}'),
(4, '1,000 rules, 500 windows', '{failed_runs,failure_rate,error_rate,response_time,credits_consumed,active_users,agent_failures}',
    (SELECT array_agg(1440 - 2 * i) FROM generate_series(0, 499) AS i), '{greater_than}'),
(5, '1,000 rules, 500 windows, all metrics', '{failed_runs,failure_rate,error_rate,response_time,credits_consumed,active_users,agent_failures,user_signups,session_duration}',
    (SELECT array_agg(1440 - 2 * i) FROM generate_series(0, 499) AS i), '{greater_than}'),
(6, '1,000 rules, anomalies', '{failed_runs,active_users,response_time}', '{60}', '{anomaly}');

CREATE PROCEDURE pg_temp.make_rules(name text, workspaces int) LANGUAGE sql AS $$
DELETE FROM analytics.alert_rules;
INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value, evaluation_window_minutes)
SELECT md5('w' || i % workspaces)::uuid, 'rule ' || i, s.metrics[1 + i / 7 % cardinality(s.metrics)],
       s.conditions[1 + i % cardinality(s.conditions)], 10, s.windows[1 + (i / 3) % cardinality(s.windows)]
FROM rule_set AS s, generate_series(0, 999) AS i WHERE s.name = make_rules.name;
$$;

CREATE TEMP TABLE result (place int, name text, ms numeric);
SET jit = off;
SET max_parallel_workers_per_gather = 0;
SELECT set_config('bench.workspaces', :'workspaces', false) AS workspaces \gset
DO $$
DECLARE
    s record;
    at CONSTANT timestamptz := '2025-11-09 00:00Z';
    start timestamptz;
BEGIN
    FOR round IN 1 .. 3 LOOP
        start := clock_timestamp();
        PERFORM count(*) FROM analytics.user_activity AS e WHERE e.created_at >= at - interval '1 day' AND e.created_at < at;
        INSERT INTO result VALUES (1, 'floor: sequential count of the day', extract(epoch FROM clock_timestamp() - start) * 1000);
        FOR s IN SELECT * FROM rule_set ORDER BY place LOOP
            CALL pg_temp.make_rules(s.name, current_setting('bench.workspaces')::int);
            start := clock_timestamp();
            PERFORM analytics_internal.evaluate_alert_rules(at);
            INSERT INTO result VALUES (s.place, s.name, extract(epoch FROM clock_timestamp() - start) * 1000);
        END LOOP;
    END LOOP;
END
$$;
SELECT name, round(min(ms)) AS ms, round(min(ms) / (SELECT min(ms) FROM result WHERE place = 1), 2) AS "times the count"
FROM result GROUP BY place, name ORDER BY place;
INSERT INTO bench.timing SELECT name, min(ms) FROM result GROUP BY name ON CONFLICT (name) DO UPDATE SET ms = EXCLUDED.ms;
CALL bench.limit_to('evaluate_alert_rules, 1,000 rules of five windows', '1,000 rules, five windows', 1000);
CALL bench.limit_to('the same, 500 windows and all metrics', '1,000 rules, 500 windows, all metrics', 1000);
