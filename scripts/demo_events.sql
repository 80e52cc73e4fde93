-- Demo events: five workspaces over nine weeks ending today. Every draw is a hash of what it is for, so the same
-- day gives the same events on every machine. psql -v ON_ERROR_STOP=1 -f scripts/demo_events.sql
-- It shows what real data have: busy weekdays and office hours in each workspace's zone, few heavy and many light
-- users, people who come late or leave, sessions, agents that differ in use, speed and reliability, retried
-- runs, one bad day of a provider, feedback, invoices.
\set QUIET on
\pset tuples_only on
SET TimeZone = 'UTC';
SET client_min_messages = warning;
SET synchronous_commit = off;

\echo 'making workspaces, agents and users'
BEGIN;
-- The application's own tables, and what reports know of them.
CREATE TABLE public.workspaces (
    workspace_id uuid PRIMARY KEY, name text NOT NULL, time_zone text NOT NULL, users integer NOT NULL);
INSERT INTO public.workspaces VALUES
    (md5('Northwind Robotics')::uuid, 'Northwind Robotics', 'Europe/Berlin', 240),
    (md5('Harbor Legal')::uuid, 'Harbor Legal', 'America/New_York', 120),
    (md5('Tidepool Labs')::uuid, 'Tidepool Labs', 'UTC', 80),
    (md5('Lumen Clinics')::uuid, 'Lumen Clinics', 'Asia/Tokyo', 40),
    (md5('Solo Studio')::uuid, 'Solo Studio', 'UTC', 6);
INSERT INTO analytics.workspace_settings (workspace_id, time_zone) SELECT workspace_id, time_zone FROM public.workspaces;
INSERT INTO analytics.workspaces (workspace_id, name) SELECT workspace_id, name FROM public.workspaces;
CREATE TABLE public.agents (
    agent_id uuid PRIMARY KEY, workspace_id uuid NOT NULL, name text NOT NULL,
    model text NOT NULL, share float8 NOT NULL, median_seconds float8 NOT NULL, failure_rate float8 NOT NULL);
INSERT INTO public.agents
SELECT md5(w.name || a.name)::uuid, w.workspace_id, a.name, a.model, a.share, a.median_seconds, a.failure_rate
FROM public.workspaces AS w,
     (VALUES ('Inbox triage', 'small-2', 0.45, 4, 0.03, 6), ('Contract review', 'large-1', 0.25, 38, 0.08, 40),
             ('Report writer', 'large-1', 0.15, 75, 0.05, 0), ('Data importer', 'small-2', 0.10, 12, 0.14, 80),
             ('Research', 'reasoning-1', 0.05, 210, 0.11, 120))
         AS a (name, model, share, median_seconds, failure_rate, for_users_from)
WHERE w.users >= a.for_users_from;
INSERT INTO analytics.agents (workspace_id, agent_id, name) SELECT workspace_id, agent_id, name FROM public.agents;

-- [0, 1), the same for the same key.
CREATE FUNCTION pg_temp.uniform(key text) RETURNS float8 LANGUAGE sql IMMUTABLE
AS $$SELECT (hashtextextended(key, 2024) & 9007199254740991) / 9007199254740992.0::float8$$;
-- Logarithmic normal by Box and Muller.
CREATE FUNCTION pg_temp.lognormal(key text, median float8, sigma float8) RETURNS float8 LANGUAGE sql IMMUTABLE
AS $$SELECT median * exp(sigma * sqrt(-2 * ln(1 - pg_temp.uniform(key || 'r'))) * cos(2 * pi() * pg_temp.uniform(key || 'a')))$$;
-- Picks by cumulated weights: the first whose bound exceeds the draw.
CREATE FUNCTION pg_temp.pick(draw float8, bounds float8[], names text[]) RETURNS text LANGUAGE sql IMMUTABLE
AS $$SELECT names[1 + (SELECT count(*) FROM unnest(bounds) AS b WHERE b <= draw)]$$;

-- Heavy and light users; three in ten arrive within the nine weeks, two in ten leave.
CREATE TEMP TABLE demo_user AS
SELECT w.workspace_id, w.name AS workspace, w.time_zone, i, md5(w.name || ' user ' || i)::uuid AS user_id,
       0.06 + 0.8 * (1 - i::float8 / w.users) ^ 2 AS activity,
       CASE WHEN pg_temp.uniform(w.name || i || 'late') < 0.3
            THEN floor(63 * pg_temp.uniform(w.name || i || 'from'))::int ELSE 0 END AS first_day,
       CASE WHEN pg_temp.uniform(w.name || i || 'leaves') < 0.2
            THEN floor(90 * pg_temp.uniform(w.name || i || 'to'))::int ELSE 90 END AS last_day
FROM public.workspaces AS w, generate_series(1, w.users) AS i;

\echo 'making sessions'
CREATE TEMP TABLE demo_session AS
SELECT u.*, d AS day, s, u.workspace || u.i || '/' || d || '/' || s AS key,
       ((CURRENT_DATE - 62 + d) + CASE WHEN kind < 0.82 THEN 8 + 5 * (h1 + h2) -- office hours
                                       WHEN kind < 0.96 THEN 19 + 4 * h1 ELSE 24 * h1 END * interval '1 hour')
           AT TIME ZONE u.time_zone AS started_at,
       1 + floor(least(40, -7 * ln(1 - pg_temp.uniform(u.workspace || u.i || d || s || 'n'))))::int AS steps
FROM demo_user AS u, generate_series(0, 62) AS d, generate_series(1, 3) AS s,
     LATERAL (SELECT pg_temp.uniform(u.workspace || u.i || 'day' || d) AS active,
                     pg_temp.uniform(u.workspace || u.i || d || s) AS again,
                     pg_temp.uniform(u.workspace || u.i || d || s || 'k') AS kind,
                     pg_temp.uniform(u.workspace || u.i || d || s || 'h1') AS h1,
                     pg_temp.uniform(u.workspace || u.i || d || s || 'h2') AS h2) AS r
WHERE d BETWEEN u.first_day AND u.last_day
  AND active < u.activity * (ARRAY[1.0, 1.05, 1.1, 1.0, 0.85, 0.25, 0.2])[extract(isodow FROM CURRENT_DATE - 62 + d)::int]
  AND again < (ARRAY[1.0, 0.4, 0.12])[s];

\echo 'making events'
-- What happens in a session, in order; pauses are exponential, so a few exceed half an hour.
CREATE TEMP TABLE demo_step AS
SELECT s.workspace_id, s.workspace, s.user_id, s.day, s.key || '#' || n AS key, md5(s.key)::uuid AS session_id,
       s.started_at + sum(CASE WHEN n = 1 THEN 0 ELSE least(2400, -95 * ln(1 - pg_temp.uniform(s.key || n || 'pause'))) END)
           OVER (PARTITION BY s.key ORDER BY n) * interval '1 second' AS at,
       CASE WHEN n = 1 THEN pg_temp.pick(draw, '{0.55,0.95}', '{login,page_view,workspace_switch}')
            WHEN n = s.steps AND draw < 0.3 THEN 'logout'
            ELSE pg_temp.pick(draw, '{0.36,0.68,0.80,0.89,0.92,0.96,0.985}',
                              '{page_view,agent_run,feature_use,api_call,export,report_view,error,custom}')
       END AS event_type
FROM demo_session AS s, generate_series(1, s.steps) AS n,
     LATERAL (SELECT pg_temp.uniform(s.key || n || 'type') AS draw) AS r;

-- A run: who ran it, how long, how it ended. Nine days ago a provider had a bad day.
CREATE TEMP TABLE demo_run AS
SELECT e.*, a.agent_id, a.model, 'run-' || md5(e.key) AS run_id,
       round(pg_temp.lognormal(e.key || 'runtime', a.median_seconds, 0.6)::numeric, 3) AS seconds,
       CASE WHEN outcome < least(0.9, a.failure_rate * CASE WHEN e.day = 53 AND a.model = 'large-1' THEN 6 ELSE 1 END)
            THEN 'failed' WHEN outcome > 0.975 THEN 'cancelled' ELSE 'completed' END AS status,
       round(pg_temp.lognormal(e.key || 'tokens', 40 * a.median_seconds + 600, 0.7)::numeric) AS tokens,
       pg_temp.pick(pg_temp.uniform(e.key || 'error'), '{0.4,0.7,0.9}',
                    '{timeout,rate_limit,tool_error,context_length}') AS error_type
FROM demo_step AS e
JOIN LATERAL (SELECT *, sum(share) OVER (ORDER BY share DESC, agent_id) / sum(share) OVER () AS bound
              FROM public.agents AS a WHERE a.workspace_id = e.workspace_id) AS a
     ON a.bound > pg_temp.uniform(e.key || 'agent') AND a.bound - a.share / (SELECT sum(share) FROM public.agents AS x
        WHERE x.workspace_id = e.workspace_id) <= pg_temp.uniform(e.key || 'agent'),
     LATERAL (SELECT pg_temp.uniform(e.key || 'outcome') AS outcome) AS r
WHERE e.event_type = 'agent_run';

CREATE TEMP VIEW demo_event (key, workspace_id, user_id, event_type, event_name, page_path, session_id, metadata, created_at) AS
SELECT key, workspace_id, user_id, event_type,
       CASE event_type
            WHEN 'feature_use' THEN pg_temp.pick(pg_temp.uniform(key || 'name'), '{0.4,0.65,0.85}', '{search,share_link,bulk_edit,schedule}')
            WHEN 'export' THEN 'csv'
            WHEN 'custom' THEN 'invoice_paid' END,
       CASE WHEN event_type IN ('page_view', 'report_view')
            THEN pg_temp.pick(pg_temp.uniform(key || 'page'), '{0.3,0.55,0.75,0.9}', '{/home,/agents,/runs,/reports,/settings}') END,
       session_id,
       CASE event_type
            WHEN 'api_call' THEN jsonb_build_object('latency_ms', round(pg_temp.lognormal(key, 120, 0.5)::numeric))
            WHEN 'error' THEN jsonb_build_object('error_type', pg_temp.pick(pg_temp.uniform(key || 'error'), '{0.5,0.8}', '{validation,network,internal}'),
                                                 'error_message', 'the request could not be completed')
            WHEN 'custom' THEN jsonb_build_object('revenue', 20 * (1 + floor(5 * pg_temp.uniform(key || 'amount'))))
            ELSE '{}' END,
       at
FROM demo_step WHERE event_type <> 'agent_run'
UNION ALL -- a third of the runs is announced before it ends
SELECT key || 'p', workspace_id, user_id, 'agent_run', NULL, '/agents', session_id,
       jsonb_build_object('agent_id', agent_id, 'run_id', run_id, 'status', 'pending', 'model', model), at
FROM demo_run WHERE pg_temp.uniform(key || 'announced') < 0.35
UNION ALL
SELECT key, workspace_id, user_id, 'agent_run', NULL, '/agents', session_id,
       jsonb_strip_nulls(jsonb_build_object('agent_id', agent_id, 'run_id', run_id, 'status', status, 'model', model,
           'runtime_seconds', seconds, 'tokens_used', tokens, 'credits', round(tokens / 1000, 3),
           'error_type', CASE WHEN status = 'failed' THEN error_type END,
           'failure_reason', CASE WHEN status = 'failed' THEN 'the model answered: ' || error_type END,
           'rating', CASE WHEN status = 'completed' AND pg_temp.uniform(key || 'rated') < 0.05
                          THEN 1 + floor(5 * sqrt(pg_temp.uniform(key || 'rating'))) END)),
       at + seconds * interval '1 second'
FROM demo_run
UNION ALL -- half of the failed ones is tried again, as the same run
SELECT key || 'r', workspace_id, user_id, 'agent_run', NULL, '/agents', session_id,
       jsonb_build_object('agent_id', agent_id, 'run_id', run_id, 'status', 'completed', 'model', model,
                          'runtime_seconds', seconds * 2, 'tokens_used', tokens, 'credits', round(tokens / 1000, 3)),
       at + (20 + 3 * seconds) * interval '1 second'
FROM demo_run WHERE status = 'failed' AND pg_temp.uniform(key || 'retried') < 0.5;

\echo 'loading them into analytics.user_activity'
INSERT INTO analytics.user_activity
    (id, workspace_id, user_id, event_type, event_name, page_path, session_id, user_agent, metadata, created_at)
SELECT md5(key)::uuid, workspace_id, user_id, event_type, event_name, page_path, session_id,
       'Mozilla/5.0 (X11; Linux x86_64)', metadata, created_at
FROM demo_event
WHERE created_at <= now()
ORDER BY created_at, key;
COMMIT;
