-- A day of 1/4, 1/2, 1 and 2 times the events (FULL=1: 1/2, 1, 2 and 4 times, which is 1 to 8 million), and 10 to 100,000
-- workspaces: the time may grow as the input does.
\ir stage.sql
\if :{?full} \else \set full 0 \endif
SELECT CASE :full WHEN 0 THEN 1 ELSE 2 END AS scale \gset
\ir empty.sql
SELECT analytics.create_partitions('2025-10-01', '2025-10-14') \g /dev/null
-- Day d has that share of the events; above 1, copies whose runs are their own.
CREATE PROCEDURE bench.load(day date, share numeric, workspaces integer) LANGUAGE sql AS $$
    INSERT INTO analytics.user_activity (id, user_id, workspace_id, event_type, event_name, page_path, session_id, metadata, created_at)
    SELECT gen_random_uuid(), user_id, CASE WHEN workspaces IS NULL THEN workspace_id ELSE md5('w' || h % workspaces)::uuid END, event_type, event_name,
           page_path, session_id, CASE WHEN copy = 1 OR NOT metadata ? 'run_id' THEN metadata ELSE jsonb_set(metadata, '{run_id}', to_jsonb((metadata ->> 'run_id') || 'x' || copy)) END,
           created_at - timestamp '2025-11-08' + day
    FROM bench.stage, LATERAL (SELECT abs(hashtext(id::text)::bigint) AS h) AS drawn, generate_series(1, greatest(share, 1)::integer) AS copy
    WHERE h % 1000 < share * 1000
$$;
CALL bench.load('2025-10-01', 0.25 * :scale, NULL);
CALL bench.load('2025-10-02', 0.5 * :scale, NULL);
CALL bench.load('2025-10-03', 1 * :scale, NULL);
CALL bench.load('2025-10-04', 2 * :scale, NULL);
CALL bench.load('2025-10-11', 0.5, 10);
CALL bench.load('2025-10-12', 0.5, 1000);
CALL bench.load('2025-10-13', 0.5, 10000);
CALL bench.load('2025-10-14', 0.5, 100000);
VACUUM ANALYZE analytics.user_activity;
INSERT INTO bench.statement
SELECT format('growth, %s', n), '', format('SELECT analytics.aggregate_daily_metrics(%L)', d)
FROM (VALUES ('1', '2025-10-01'), ('2', '2025-10-02'), ('4', '2025-10-03'), ('8', '2025-10-04')) AS v (n, d);
CALL bench.run(least(:rounds, 2));
INSERT INTO bench.statement
SELECT format('%s workspaces', n), '', format('SELECT analytics.aggregate_daily_metrics(%L)', d)
FROM (VALUES ('10', '2025-10-11'), ('1,000', '2025-10-12'), ('10,000', '2025-10-13'), ('100,000', '2025-10-14')) AS v (n, d);
CALL bench.run(1);
SELECT count(*) AS smallest FROM analytics.user_activity WHERE created_at >= '2025-10-01' AND created_at < '2025-10-02' \gset
SELECT format('CALL bench.compare(%L, %L, %L, %s)', 'growth: ' || n * :smallest || ' events', 'growth, ' || n, 'growth, 1', n * 1.1) FROM unnest('{2,4,8}'::integer[]) AS n \gexec
UPDATE bench.result SET rival_name = :'smallest' || ' events' WHERE rival_name = 'growth, 1';
CALL bench.compare('growth: 100 times the workspaces', '1,000 workspaces', '10 workspaces', 100);
CALL bench.compare('growth: 1,000 times', '10,000 workspaces', '10 workspaces', 1000);
CALL bench.compare('growth: 10,000 times', '100,000 workspaces', '10 workspaces', 10000);
DROP PROCEDURE bench.load(date, numeric, integer);
