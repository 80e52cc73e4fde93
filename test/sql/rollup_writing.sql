-- The rows of a day are written without statements: constraints, indexes and generated columns are as with them.
-- Where SQL does more, for a user's trigger, rule or default, SQL writes the same rows.
\set SHOW_CONTEXT never
\set QUIET on
SET timezone = 'UTC';
SET client_min_messages = warning;
BEGIN;
CREATE FUNCTION pg_temp.w(n int) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5('writing w' || n)::uuid $$;
DELETE FROM analytics.watermark;
SELECT count(*) > 0 AS made FROM analytics.create_partitions('2025-03-01', '2025-03-02');
INSERT INTO analytics.user_activity (workspace_id, user_id, session_id, event_type, event_name, metadata, created_at)
SELECT pg_temp.w(i % 7), md5('u' || i % 61)::uuid, md5('s' || i % 97)::uuid,
       (ARRAY['page_view', 'agent_run', 'agent_run', 'error', 'click'])[1 + i % 5], 'name ' || i % 11,
       CASE i % 5 WHEN 1 THEN jsonb_build_object('agent_id', md5('a' || i % 13), 'run_id', 'r' || i, 'status', 'completed', 'credits', i, 'revenue', i)
                  WHEN 2 THEN jsonb_build_object('agent_id', 'agent ' || i % 3, 'status', 'failed', 'error_type', 'type ' || i % 4, 'runtime_seconds', i / 7.0)
                  WHEN 3 THEN jsonb_build_object('error_type', 'type ' || i % 4, 'message', 'message ' || i % 9, 'revenue', 3) ELSE '{}' END,
       '2025-03-01'::timestamptz + i * interval '30 seconds'
FROM generate_series(1, 4000) AS i;

-- What the tables hold of these workspaces, but for times and what a part of the test adds.
CREATE FUNCTION pg_temp.digest() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    name text;
    digest text;
    digests text := '';
BEGIN
    FOREACH name IN ARRAY '{daily_metrics,agent_performance,daily_event_usage,daily_error_types,daily_users,daily_user_revenue,users}'::text[] LOOP
        EXECUTE format($q$SELECT count(*) || md5(string_agg(t, ',' ORDER BY t))
                          FROM (SELECT (to_jsonb(r) - 'created_at' - 'updated_at' - 'note')::text AS t FROM analytics.%I AS r
                                WHERE r.workspace_id IN (SELECT pg_temp.w(i) FROM generate_series(0, 6) AS i)) AS l$q$, name) INTO digest;
        digests := digests || coalesce(digest, '-') || ' ';
    END LOOP;
    RETURN digests;
END
$$;
CREATE PROCEDURE pg_temp.run() LANGUAGE sql AS $$
SELECT analytics_internal.aggregate_daily_metrics(d, NULL) FROM unnest('{2025-03-02,2025-03-01}'::date[]) AS d
$$;
CREATE PROCEDURE pg_temp.forget() LANGUAGE sql AS $$
TRUNCATE analytics.daily_metrics, analytics.agent_performance, analytics.daily_event_usage, analytics.daily_error_types,
    analytics.daily_users, analytics.daily_user_revenue, analytics.users
$$;
-- Late events, a user who leaves a day, one who leaves for ever, a workspace that leaves.
CREATE PROCEDURE pg_temp.change() LANGUAGE sql AS $$
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT pg_temp.w(i % 3), md5('late ' || i)::uuid, 'login', '2025-03-01 01:00' FROM generate_series(1, 5) AS i;
DELETE FROM analytics.user_activity WHERE user_id = md5('u7')::uuid AND created_at >= '2025-03-02' AND created_at < '2025-03-03';
DELETE FROM analytics.user_activity WHERE user_id = md5('u8')::uuid AND created_at >= '2025-03-01' AND created_at < '2025-03-03';
DELETE FROM analytics.user_activity WHERE workspace_id = pg_temp.w(6) AND created_at < '2025-03-02' AND created_at >= '2025-03-01';
$$;
-- Rows of daily_metrics that a trigger saw.
CREATE TABLE pg_temp.seen (relation text, operation text);
CREATE FUNCTION pg_temp.see() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO pg_temp.seen VALUES (TG_TABLE_NAME, TG_OP);
    RETURN NULL;
END
$$;
CREATE PROCEDURE pg_temp.watch() LANGUAGE plpgsql AS $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY '{daily_metrics,agent_performance,daily_event_usage,daily_error_types,daily_users,daily_user_revenue,users}'::text[] LOOP
        EXECUTE format('CREATE TRIGGER see AFTER INSERT OR UPDATE OR DELETE ON analytics.%I FOR EACH ROW EXECUTE FUNCTION pg_temp.see()', name);
    END LOOP;
END
$$;

-- A new day, the same again, changes: by the writer, then by SQL.
CALL pg_temp.forget();
CALL pg_temp.run();
SELECT pg_temp.digest() AS new \gset
DELETE FROM analytics.rollup_changes;
CALL pg_temp.run();
SELECT pg_temp.digest() = :'new' AS same_again, (SELECT count(*) FROM analytics.rollup_changes) AS noted,
       (SELECT count(*) FROM analytics.daily_metrics WHERE updated_at <> now() OR created_at <> now()) AS touched;
SAVEPOINT day;
CALL pg_temp.change();
CALL pg_temp.run();
SELECT pg_temp.digest() AS changed \gset
SELECT :'new' <> :'changed' AS differs;
SELECT w.n, c.metric_date FROM generate_series(0, 6) AS w (n) JOIN analytics.rollup_changes AS c ON c.workspace_id = pg_temp.w(w.n) ORDER BY 1, 2;
ROLLBACK TO day;
CALL pg_temp.watch();
CALL pg_temp.forget();
CALL pg_temp.run();
SELECT pg_temp.digest() = :'new' AS same_by_sql;
SELECT relation, operation, count(*) FROM pg_temp.seen GROUP BY 1, 2 ORDER BY 1, 2;
DELETE FROM pg_temp.seen;
CALL pg_temp.run();
SELECT pg_temp.digest() = :'new' AS same_again_by_sql, (SELECT count(*) FROM pg_temp.seen) AS seen;
CALL pg_temp.change();
CALL pg_temp.run();
SELECT pg_temp.digest() = :'changed' AS same_changes_by_sql;
SELECT relation, operation, count(*) FROM pg_temp.seen GROUP BY 1, 2 ORDER BY 1, 2;
ROLLBACK TO day;

-- A trigger and a rule of the user's on one table only: the others are written as ever.
CREATE TRIGGER see AFTER INSERT ON analytics.agent_performance REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.see();
CREATE RULE also AS ON INSERT TO analytics.daily_error_types DO ALSO INSERT INTO pg_temp.seen VALUES ('rule', NEW.error_type);
CALL pg_temp.forget();
CALL pg_temp.run();
SELECT pg_temp.digest() = :'new' AS same;
SELECT relation, count(*) FROM pg_temp.seen GROUP BY 1 ORDER BY 1;
ROLLBACK TO day;

-- A column of the user's keeps its value in a changed row, is NULL in a new one, or gets its default.
ALTER TABLE analytics.agent_performance ADD note text;
UPDATE analytics.agent_performance SET note = 'mine';
ALTER TABLE analytics.daily_metrics ADD note text DEFAULT 'default';
CALL pg_temp.change();
UPDATE analytics.user_activity SET metadata = metadata || '{"credits": 77}' WHERE event_type = 'agent_run' AND metadata ->> 'agent_id' = md5('a2') AND created_at >= '2025-03-01' AND created_at < '2025-03-03';
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
VALUES (pg_temp.w(8), md5('u1')::uuid, 'agent_run', jsonb_build_object('agent_id', md5('fresh'), 'status', 'completed'), '2025-03-01 05:00');
CALL pg_temp.run();
SELECT note, count(*) > 0 AS some, bool_and(total_credits % 77 = 0) FILTER (WHERE agent_id = md5('a2')::uuid) AS changed FROM analytics.agent_performance
WHERE workspace_id IN (SELECT pg_temp.w(i) FROM generate_series(0, 8) AS i) GROUP BY 1 ORDER BY 1;
SELECT note, count(*) FROM analytics.daily_metrics WHERE workspace_id = pg_temp.w(8) GROUP BY 1;
ROLLBACK TO day;

-- Indexes of the user's, of some rows and of an expression, find what the table holds; values too long for a page too.
CREATE INDEX ON analytics.agent_performance ((total_runs % 10)) WHERE failed_runs > 0;
CREATE UNIQUE INDEX ON analytics.daily_metrics (metric_date, workspace_id, total_events);
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, created_at)
SELECT pg_temp.w(5), md5('u' || i % 5000)::uuid, 'click', left('click ' || i % 900 || md5(i % 900 || ''), 90), '2025-03-01 03:00'::timestamptz + i * interval '1 second'
FROM generate_series(1, 9000) AS i;
CALL pg_temp.change();
CALL pg_temp.run();
SET LOCAL enable_seqscan = off;
SET LOCAL enable_bitmapscan = off;
SELECT count(*) AS by_index FROM analytics.agent_performance WHERE total_runs % 10 < 5 AND failed_runs > 0 \gset
SELECT array_agg(total_events ORDER BY workspace_id) AS by_index_too FROM analytics.daily_metrics WHERE metric_date = '2025-03-01' AND total_events >= 0 \gset
SET LOCAL enable_seqscan = on;
SET LOCAL enable_indexscan = off;
SET LOCAL enable_indexonlyscan = off;
SELECT count(*) = :by_index AND count(*) > 0 AS found FROM analytics.agent_performance WHERE total_runs % 10 < 5 AND failed_runs > 0;
SELECT array_agg(total_events ORDER BY workspace_id) = :'by_index_too' AS found FROM analytics.daily_metrics WHERE metric_date = '2025-03-01' AND total_events >= 0;
SELECT array_length(event_names, 1) AS names, pg_column_size(users) + pg_column_size(event_names) > 8192 AS is_long,
       (SELECT sum(e) FROM unnest(events) AS e) >= 9000 AS complete
FROM analytics.daily_event_usage WHERE workspace_id = pg_temp.w(5) AND metric_date = '2025-03-01' AND event_type = 'click';
SELECT count(*) AS wrong FROM analytics.agent_performance
WHERE success_rate IS DISTINCT FROM round(100.0 * successful_runs / nullif(successful_runs + failed_runs, 0), 2);
ROLLBACK TO day;

-- Constraints.
ALTER TABLE analytics.agent_performance ADD CONSTRAINT few CHECK (total_runs < 100);
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT pg_temp.w(1), md5('u1')::uuid, 'agent_run', jsonb_build_object('agent_id', md5('many'), 'status', 'completed'), '2025-03-01 05:00'
FROM generate_series(1, 100);
\set VERBOSITY terse
CALL pg_temp.run();
ROLLBACK TO day;
ALTER TABLE analytics.agent_performance ADD note text;
UPDATE analytics.agent_performance SET note = '';
ALTER TABLE analytics.agent_performance ALTER note SET NOT NULL;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
VALUES (pg_temp.w(1), md5('u1')::uuid, 'agent_run', jsonb_build_object('agent_id', md5('fresh'), 'status', 'completed'), '2025-03-01 05:00');
CALL pg_temp.run();
ROLLBACK TO day;
\set VERBOSITY default
ROLLBACK;
