-- What an insert costs: the same rows into a bare table, into tables with one of the parts that a partition of
-- user_activity has, and into user_activity itself. In a scratch database with the extension:
--   psql -v events=500000 -f test/bench/insert.sql
-- The aim is a ratio of 1.5 for the whole; the key, which begins with the workspace, costs most. Everything is
-- rolled back.
\set ON_ERROR_STOP on
\if :{?events} \else \set events 300000 \endif
SET timezone = 'UTC';
SET client_min_messages = warning;
SET synchronous_commit = off;
BEGIN;
CREATE TEMPORARY TABLE stage AS
SELECT gen_random_uuid() AS id, md5('w' || i % 2000)::uuid AS workspace_id, md5('u' || i % 30011)::uuid AS user_id,
       (ARRAY['page_view', 'agent_run', 'api_call', 'feature_use'])[1 + i % 4] AS event_type, 'ev' || i % 17 AS event_name,
       '/p/' || i % 301 AS page_path, md5('s' || i % 60013)::uuid AS session_id, '10.0.0.1'::inet AS ip_address,
       NULL::bytea AS ip_hash, 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0' AS user_agent,
       'https://example.com/' AS referrer,
       CASE i % 4 WHEN 1 THEN jsonb_build_object('agent_id', md5('a' || i % 97), 'run_id', 'r' || i, 'status', 'completed',
                                                 'runtime_seconds', i % 1000 / 7.0, 'credits', i % 50 / 10.0)
                  ELSE '{}'::jsonb END AS metadata,
       TIMESTAMPTZ '2001-02-03' + i * (interval '1 day' / :events) AS created_at
FROM generate_series(0, :events - 1) AS i;

CREATE TABLE pg_temp.results (step text, ms numeric);
CREATE TABLE analytics.bench_bare (LIKE analytics.user_activity INCLUDING DEFAULTS);
CREATE TABLE analytics.bench_trigger (LIKE analytics.user_activity INCLUDING DEFAULTS);
CREATE TRIGGER check_event BEFORE INSERT ON analytics.bench_trigger
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.user_activity_check();
CREATE TABLE analytics.bench_brin (LIKE analytics.user_activity INCLUDING DEFAULTS);
CREATE INDEX ON analytics.bench_brin USING brin (created_at);
CREATE TABLE analytics.bench_key (LIKE analytics.user_activity INCLUDING DEFAULTS, PRIMARY KEY (workspace_id, created_at, id));
SELECT analytics.create_partitions('2001-02-03', '2001-02-03') AS made \gset

DO $$
DECLARE
    step text;
    start timestamptz;
BEGIN
    FOREACH step IN ARRAY ARRAY['bench_bare', 'bench_bare', 'bench_trigger', 'bench_brin', 'bench_key', 'user_activity'] LOOP
        EXECUTE format('TRUNCATE analytics.%I', CASE step WHEN 'user_activity' THEN 'user_activity_20010203' ELSE step END);
        start := clock_timestamp();
        EXECUTE format('INSERT INTO analytics.%I SELECT * FROM stage', step);
        INSERT INTO pg_temp.results VALUES (step, extract(epoch FROM clock_timestamp() - start) * 1000);
    END LOOP;
END
$$;
SELECT step, round(min(ms)) AS ms, round(min(ms) / (SELECT min(ms) FROM pg_temp.results WHERE step = 'bench_bare'), 2) AS ratio
FROM pg_temp.results GROUP BY step ORDER BY min(ms);
ROLLBACK;
