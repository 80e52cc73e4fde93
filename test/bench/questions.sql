-- Questions about a month of one workspace (half of EVENTS, 1,000,000 by default; EVENTS=20000000 makes it 10,000,000) with
-- 80,000 users for each million, beside a workspace of 1,000 events, each next to the same in plain SQL, in processor time of one process each.
\ir empty.sql
SELECT :events / 2 AS events, greatest(:events / 25, 100) AS users \gset
SELECT analytics.create_partitions('2025-10-01', '2025-10-31') \g /dev/null
INSERT INTO analytics.user_activity (id, user_id, workspace_id, event_type, event_name, page_path, session_id, metadata, created_at)
SELECT md5('q' || i)::uuid, md5('u' || (:users * power(random(), 2))::int)::uuid, md5(CASE WHEN i % (:events / 1000) = 0 THEN 'small' ELSE 'large' END)::uuid,
       (ARRAY['page_view', 'page_view', 'page_view', 'page_view', 'feature_use', 'feature_use', 'agent_run', 'api_call', 'login', 'click'])[1 + r],
       'ev' || i % 17, '/p/' || i % 301, NULL, jsonb_build_object('plan', (ARRAY['free', 'pro', 'team', 'enterprise'])[1 + i % 4], 'n', i % 1000),
       '2025-10-01Z'::timestamptz + i * (interval '30 days' / :events)
FROM (SELECT i, (random() * 9.999)::int % 10 AS r FROM generate_series(1, :events) AS i) AS g;
VACUUM ANALYZE analytics.user_activity;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0') ON CONFLICT DO NOTHING;
SELECT count(analytics.aggregate_daily_metrics(day::date)) FROM generate_series('2025-10-01'::timestamp, '2025-10-30', '1 day') AS day \g /dev/null
VACUUM ANALYZE analytics.users, analytics.daily_users, analytics.daily_event_usage;
SET jit = off;
SET max_parallel_workers_per_gather = 0;
SET work_mem = '256MB';

INSERT INTO bench.statement (name, before, statement) VALUES
('get_funnel, 3 steps', '', format($$SELECT count(*) FROM analytics.get_funnel(md5('large')::uuid, '["page_view", "feature_use", "agent_run"]', '2025-10-01', '2025-10-30', conversion_window => '7 days')$$)),
('plain SQL, exact', '', $$
    SELECT count(*) FILTER (WHERE level >= 1), count(*) FILTER (WHERE level >= 2), count(*) FILTER (WHERE level >= 3) FROM (
        SELECT user_id, max(CASE WHEN event_type = 'agent_run' AND at - s2 <= interval '7 days' THEN 3 WHEN event_type = 'feature_use' AND at - s1 <= interval '7 days' THEN 2
                                 WHEN event_type = 'page_view' THEN 1 END) AS level
        FROM (SELECT user_id, event_type, at, s1, max(CASE WHEN event_type = 'feature_use' AND at - s1 <= interval '7 days' THEN s1 END) OVER (PARTITION BY user_id ORDER BY at) AS s2
              FROM (SELECT user_id, event_type, created_at AS at, max(CASE WHEN event_type = 'page_view' THEN created_at END) OVER (PARTITION BY user_id ORDER BY created_at) AS s1
                    FROM analytics.user_activity
                    WHERE workspace_id = md5('large')::uuid AND created_at >= '2025-10-01' AND created_at < '2025-10-31' AND event_type IN ('page_view', 'feature_use', 'agent_run')) AS a) AS b
        GROUP BY user_id) AS c$$),
('get_funnel, 16 steps', '', $$SELECT count(*) FROM analytics.get_funnel(md5('large')::uuid, (SELECT jsonb_agg((ARRAY['page_view', 'feature_use', 'agent_run'])[1 + i % 3]) FROM generate_series(0, 15) AS i),
    '2025-10-01', '2025-10-30', conversion_window => '7 days')$$),
('get_funnel, half the days', '', $$SELECT count(*) FROM analytics.get_funnel(md5('large')::uuid, '["page_view", "feature_use", "agent_run"]', '2025-10-01', '2025-10-08', conversion_window => '7 days', as_of => '2025-10-16')$$),
('get_trend, users by a property', '', $$SELECT count(*) FROM analytics.get_trend(md5('large')::uuid, '{"event": "page_view", "measure": "users"}', 'daily', '2025-10-01', '2025-10-30', breakdown => 'metadata.plan')$$),
('count(DISTINCT user_id) by day and property', '', $$SELECT count(*) FROM (SELECT created_at::date, metadata ->> 'plan', count(DISTINCT user_id) FROM analytics.user_activity
    WHERE workspace_id = md5('large')::uuid AND created_at >= '2025-10-01' AND created_at < '2025-10-31' AND event_type = 'page_view' GROUP BY 1, 2) AS d$$),
('get_trend, plain', '', $$SELECT count(*) FROM analytics.get_trend(md5('large')::uuid, '{"event": "page_view", "measure": "users"}', 'daily', '2025-10-01', '2025-10-30')$$),
('count(DISTINCT user_id) by day', '', $$SELECT count(*) FROM (SELECT created_at::date, count(DISTINCT user_id) FROM analytics.user_activity
    WHERE workspace_id = md5('large')::uuid AND created_at >= '2025-10-01' AND created_at < '2025-10-31' AND event_type = 'page_view' GROUP BY 1) AS d$$),
('get_stickiness, plain', '', $$SELECT count(*) FROM analytics.get_stickiness(md5('large')::uuid, '"page_view"', 'daily', '2025-10-01', '2025-10-30')$$),
('days by user in plain SQL', '', $$SELECT count(*) FROM (SELECT days, count(*) FROM (SELECT user_id, count(DISTINCT created_at::date) AS days FROM analytics.user_activity
    WHERE workspace_id = md5('large')::uuid AND created_at >= '2025-10-01' AND created_at < '2025-10-31' AND event_type = 'page_view' GROUP BY 1) AS u GROUP BY 1) AS d$$),
('get_funnel, 1,000 events', '', $$SELECT count(*) FROM analytics.get_funnel(md5('small')::uuid, '["page_view", "feature_use", "agent_run"]', '2025-10-01', '2025-10-30', conversion_window => '7 days')$$),
('get_trend, 1,000 events', '', $$SELECT count(*) FROM analytics.get_trend(md5('small')::uuid, '{"event": "page_view", "measure": "users"}', 'daily', '2025-10-01', '2025-10-30', breakdown => 'metadata.plan')$$);
CALL bench.run(:rounds, true);
CALL bench.compare('get_funnel of ' || :events || ' events, 3 steps', 'get_funnel, 3 steps', 'plain SQL, exact', 1.0 / 3);
CALL bench.compare('the same, 16 steps', 'get_funnel, 16 steps', 'get_funnel, 3 steps', 2);
CALL bench.compare('the same, half the events', 'get_funnel, half the days', 'get_funnel, 3 steps', 0.6);
CALL bench.compare('get_trend, users by day and property', 'get_trend, users by a property', 'count(DISTINCT user_id) by day and property', 2.0 / 3);
CALL bench.compare('get_trend, users by day, from sets', 'get_trend, plain', 'count(DISTINCT user_id) by day', 1.0 / 50);
CALL bench.compare('get_stickiness, from sets', 'get_stickiness, plain', 'days by user in plain SQL', 1.0 / 50);
CALL bench.limit_to('get_funnel of a workspace of 1,000 events beside it', 'get_funnel, 1,000 events', 5);
CALL bench.limit_to('get_trend of it', 'get_trend, 1,000 events', 5);

-- How long a question goes on after its time is up.
SET statement_timeout = '20ms';
DO $$
DECLARE
    started timestamptz := clock_timestamp();
BEGIN
    PERFORM count(*) FROM analytics.get_funnel(md5('large')::uuid, '["page_view", "feature_use", "agent_run"]', '2025-10-01', '2025-10-30');
    RAISE EXCEPTION 'the question ended before its time was up';
EXCEPTION WHEN query_canceled THEN
    SET LOCAL statement_timeout = 0;
    INSERT INTO bench.timing VALUES ('cancel', extract(epoch FROM clock_timestamp() - started) * 1000 - 20)
    ON CONFLICT (name) DO UPDATE SET ms = EXCLUDED.ms;
END
$$;
RESET statement_timeout;
CALL bench.limit_to('get_funnel, from its cancel to its end', 'cancel', 100);

-- The backend's peak above that of the small workspace's question.
CREATE OR REPLACE FUNCTION bench.peak_of_funnel(workspace text, memory_mb integer) RETURNS bigint LANGUAGE plpgsql SET jit = off AS $$
BEGIN
    DELETE FROM analytics.settings WHERE name = 'analysis_memory_mb';
    INSERT INTO analytics.settings VALUES ('analysis_memory_mb', memory_mb::text);
    PERFORM count(*) FROM analytics.get_funnel(md5(workspace)::uuid, '["page_view", "feature_use", "agent_run"]', '2025-10-01', '2025-10-30', conversion_window => '7 days');
    RETURN (SELECT substring(s FROM 'VmHWM:\s+(\d+)')::bigint - substring(s FROM 'RssShmem:\s+(\d+)')::bigint - substring(s FROM 'RssFile:\s+(\d+)')::bigint
            FROM pg_read_file('/proc/' || pg_backend_pid() || '/status') AS s);
END
$$;
\c
SELECT bench.peak_of_funnel('small', 256) AS base \gset
\c
SELECT bench.peak_of_funnel('large', 256) AS whole \gset
\c
SELECT bench.peak_of_funnel('large', 8) AS passes \gset
CALL bench.record('memory of get_funnel', round((:whole - :base) / 1024.0) || ' MB', 'with analysis_memory_mb = 8, in passes', round((:passes - :base) / 1024.0) || ' MB', NULL,
                  '<= 256 MB', (:whole - :base) <= 256 * 1024);
DELETE FROM analytics.settings WHERE name = 'analysis_memory_mb';
