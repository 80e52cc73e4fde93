-- The panels of doc/bi.md, as printed, run by a reader of all workspaces and by one of a single workspace.
\set QUIET on
\pset format unaligned
\set SHOW_CONTEXT never
SET client_min_messages = warning;
SET timezone = 'UTC';
\getenv abs_srcdir PG_ABS_SRCDIR
\set bi_doc :abs_srcdir '/../doc/bi.md'
\setenv BI_DOC :bi_doc
-- A panel ends with a line of @; its title is its first line.
\set panels `awk '/^### / { title = substr($0, 5) } /^\140\140\140/ { if (on) print "@"; on = title && $0 ~ /sql$/; if (on) print title; next } on' "$BI_DOC"`
CREATE FUNCTION pg_temp.id(kind text, n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT (kind || '0000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid $$;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage,
         analytics.daily_error_types, analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.user_cohorts,
         analytics.workspace_settings, analytics.alert_rules, analytics.alert_rule_states, analytics.alert_history;
-- Two workspaces, two users and two days each; the second has twice as many runs.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT pg_temp.id('a', w), pg_temp.id('b', w * 10 + u), 'agent_run',
       jsonb_build_object('agent_id', pg_temp.id('c', w), 'status', (ARRAY['ok', 'failed'])[u], 'runtime', 10 * u, 'credits', w, 'model', 'm', 'error_type', (ARRAY[NULL, 'timeout'])[u]),
       ((now() AT TIME ZONE 'UTC')::date - d)::timestamp AT TIME ZONE 'UTC' + n * interval '1 minute'
FROM generate_series(1, 2) AS w, generate_series(1, 2) AS u, generate_series(1, 2) AS d, generate_series(1, w) AS n;
SELECT count(analytics.aggregate_daily_metrics((now() AT TIME ZONE 'UTC')::date - d)) AS days FROM generate_series(1, 2) AS d;
SELECT count(analytics.aggregate_hourly_metrics(((now() AT TIME ZONE 'UTC')::date - d)::timestamp AT TIME ZONE 'UTC')) AS hours FROM generate_series(1, 2) AS d;
INSERT INTO analytics.alert_rules (workspace_id, id, name, metric_type, condition, threshold_value) SELECT pg_temp.id('a', w), pg_temp.id('d', w), 'rule', 'error_rate', 'greater_than', 5 FROM generate_series(1, 2) AS w;
INSERT INTO analytics.alert_rule_states AS s (workspace_id, alert_rule_id, state, since) SELECT pg_temp.id('a', w), pg_temp.id('d', w), 'firing', now() FROM generate_series(1, 2) AS w
ON CONFLICT (workspace_id, alert_rule_id) DO UPDATE SET state = 'firing';
INSERT INTO analytics.agents VALUES (pg_temp.id('a', 1), pg_temp.id('c', 1), 'One');
SELECT count(*) AS views FROM analytics.refresh_all_materialized_views() WHERE error IS NULL;

-- What a dashboard makes of a panel, and what the panel gives: its columns, rows and the sum of its values.
CREATE TEMP TABLE panel (number integer, title text, query text);
INSERT INTO panel
SELECT p.number, split_part(btrim(p.text, E'\n'), E'\n', 1), substr(btrim(p.text, E'\n'), strpos(btrim(p.text, E'\n'), E'\n') + 1)
FROM regexp_split_to_table(:'panels', E'\n@') WITH ORDINALITY AS p (text, number) WHERE p.text ~ '\S';
CREATE FUNCTION pg_temp.run(query text, workspace uuid, OUT columns text, OUT rows bigint, OUT total numeric) LANGUAGE plpgsql AS $$
BEGIN
    query := replace(replace(replace(query, '$workspace', workspace::text), '$__timeFrom()', quote_literal(now() - interval '7 days')), '$__timeTo()', quote_literal(now()));
    EXECUTE 'CREATE TEMP VIEW shown AS ' || query;
    SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, NULL), ', ' ORDER BY a.attnum) INTO columns
    FROM pg_attribute AS a WHERE a.attrelid = 'pg_temp.shown'::regclass AND a.attnum > 0;
    EXECUTE 'SELECT count(*)' || CASE WHEN columns LIKE '% value %' THEN ', sum(value)' ELSE ', NULL' END || ' FROM shown' INTO rows, total;
    DROP VIEW shown;
END $$;
CREATE ROLE regress_bi_all;
CREATE ROLE regress_bi_one;
SELECT analytics.grant_reader('regress_bi_all'), analytics.grant_reader('regress_bi_one', pg_temp.id('a', 1));
GRANT SELECT ON panel TO regress_bi_all, regress_bi_one;

SET ROLE regress_bi_all;
SELECT p.title, r.columns FROM panel AS p, pg_temp.run(p.query, pg_temp.id('a', 1)) AS r ORDER BY p.number;
-- The week of the lifecycle depends on the day: its sum is that of the users who came.
SELECT p.number, r.rows > 0 AS has_rows, CASE WHEN p.number <> 2 THEN r.total END AS total, CASE WHEN p.number <> 2 THEN o.total END AS of_the_other
FROM panel AS p, pg_temp.run(p.query, pg_temp.id('a', 1)) AS r, pg_temp.run(p.query, pg_temp.id('a', 2)) AS o ORDER BY p.number;
SET ROLE regress_bi_one;
SELECT bool_and(r.rows > 0) AS own, max(o.rows) AS another FROM panel AS p, pg_temp.run(p.query, pg_temp.id('a', 1)) AS r, pg_temp.run(p.query, pg_temp.id('a', 2)) AS o;
SELECT workspace_id, name FROM analytics.workspaces;
RESET ROLE;

DELETE FROM analytics.readers;
DROP OWNED BY regress_bi_all, regress_bi_one;
DROP ROLE regress_bi_all, regress_bi_one;
TRUNCATE analytics.user_activity, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance, analytics.daily_event_usage,
         analytics.daily_error_types, analytics.users, analytics.daily_users, analytics.daily_user_revenue, analytics.user_cohorts,
         analytics.alert_rules, analytics.alert_rule_states, analytics.alert_history, analytics.agents;
