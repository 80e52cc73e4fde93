-- One skewed day of synthetic events, the same rows on every run of the same server version.
-- psql -v events=2000000 -v workspaces=2000 -v day=2025-11-08 -f events.sql   makes bench.stage
SET timezone = 'UTC';
CREATE SCHEMA IF NOT EXISTS bench;
DROP TABLE IF EXISTS bench.stage;
SELECT setseed(0.42);
CREATE UNLOGGED TABLE bench.stage AS
WITH drawn AS (
    SELECT i, (:workspaces * power(random(), 3))::int AS w, random() AS r1, random() AS r2, random() AS r3, random() AS r4
    FROM generate_series(1, :events) AS i
), placed AS (
    SELECT *, (w::bigint * 1000 + (20 + 400 / (1 + w / 20)) * power(r1, 2))::bigint AS u FROM drawn
)
SELECT md5('e' || i)::uuid AS id,
    md5('w' || w)::uuid AS workspace_id,
    md5('u' || u)::uuid AS user_id,
    CASE WHEN r2 < 0.40 THEN 'page_view' WHEN r2 < 0.70 THEN 'agent_run' WHEN r2 < 0.75 THEN 'error'
         WHEN r2 < 0.85 THEN 'feature_use' WHEN r2 < 0.93 THEN 'api_call' WHEN r2 < 0.95 THEN 'login'
         WHEN r2 < 0.97 THEN 'logout' ELSE 'export' END AS event_type,
    'ev' || (i % 17) AS event_name,
    '/p/' || (i % 301) AS page_path,
    md5('s' || u || '-' || (r4 * 6)::int)::uuid AS session_id,
    ('10.0.' || (u % 250) || '.' || (i % 250))::inet AS ip_address,
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/126.0' AS user_agent,
    'https://example.com/' AS referrer,
    CASE WHEN r2 >= 0.40 AND r2 < 0.70 THEN jsonb_build_object(
             'agent_id', md5('a' || w || '-' || (r3 * 12)::int)::uuid,
             'run_id', 'r' || i,
             'status', CASE WHEN r4 < 0.9 THEN 'completed' WHEN r4 < 0.97 THEN 'failed' ELSE 'cancelled' END,
             'runtime_seconds', round((exp(1.5 + 1.1 * sqrt(-2 * ln(greatest(r1, 1e-9))) * cos(6.28318 * r3)))::numeric, 3),
             'credits', round((r3 * 5)::numeric, 2), 'tokens', (r1 * 8000)::int,
             'model', (ARRAY['gpt-4o', 'claude-3-5', 'llama-3'])[1 + (i % 3)])
         WHEN r2 >= 0.70 AND r2 < 0.75 THEN jsonb_build_object(
             'error_type', (ARRAY['timeout', 'rate_limit', 'validation', 'internal'])[1 + (i % 4)],
             'error_message', 'msg ' || (i % 50))
         ELSE '{}'::jsonb END AS metadata,
    :'day'::timestamptz + (i - 1) * (interval '1 day' / :events) AS created_at
FROM placed;
