-- The backend's peak while it aggregates a day of one workspace: what it allocated beyond a day of 1,000 events, per
-- distinct user, session and run. rollup_memory_mb is set so high that one pass is enough; then to 16, which takes several.
-- The target is for 10,000,000 events: below, the rows of 26,000 agents, which are formed in memory, weigh more.
-- FULL=1 takes the day of bench.stage five times, each time with users, sessions and runs of its own: 10,000,000 events
-- (and then 80 MB: a pass reads all of them).
\ir stage.sql
\if :{?full} \else \set full 0 \endif
SELECT CASE :full WHEN 0 THEN 1 ELSE 5 END AS copies \gset
SELECT 16 * :copies AS little \gset
CREATE EXTENSION IF NOT EXISTS pg_prewarm;
CREATE OR REPLACE FUNCTION bench.peak_kb() RETURNS bigint LANGUAGE sql AS $$
    -- The most that was resident, without what is shared, of which there was as much from the beginning: see peak_of().
    SELECT (substring(s FROM 'VmHWM:\s+(\d+)')::bigint - substring(s FROM 'RssShmem:\s+(\d+)')::bigint - substring(s FROM 'RssFile:\s+(\d+)')::bigint)
    FROM pg_read_file('/proc/' || pg_backend_pid() || '/status') AS s
$$;
CREATE OR REPLACE FUNCTION bench.peak_of(day date, memory_mb integer) RETURNS bigint LANGUAGE plpgsql SET jit = off AS $$
BEGIN
    -- The backend touches the shared buffers first and does not load LLVM: what it came to use of them after its peak
    -- would be taken off from it.
    PERFORM pg_prewarm('bench.stage'), pg_prewarm('analytics.user_activity_20251001');
    DELETE FROM analytics.settings WHERE name = 'rollup_memory_mb';
    INSERT INTO analytics.settings VALUES ('rollup_memory_mb', memory_mb::text);
    PERFORM analytics.aggregate_daily_metrics(day);
    RETURN bench.peak_kb();
END
$$;
\ir empty.sql
SELECT analytics.create_partitions('2025-10-01', '2025-10-02') \g /dev/null
INSERT INTO analytics.user_activity (id, user_id, workspace_id, event_type, event_name, page_path, session_id,
                                     ip_address, user_agent, referrer, metadata, created_at)
SELECT id, md5(user_id::text || copy)::uuid, md5('one')::uuid, event_type, event_name, page_path, md5(session_id::text || copy)::uuid, ip_address,
       user_agent, referrer, CASE WHEN metadata ? 'run_id' THEN jsonb_set(metadata, '{run_id}', to_jsonb((metadata ->> 'run_id') || '-' || copy)) ELSE metadata END,
       created_at - timestamp '2025-11-08' + timestamp '2025-10-01' + copy * interval '1 microsecond'
FROM bench.stage, generate_series(1, :copies) AS copy;
INSERT INTO analytics.user_activity (id, user_id, workspace_id, event_type, metadata, created_at)
SELECT id, user_id, md5('one')::uuid, event_type, metadata, created_at - timestamp '2025-11-08' + timestamp '2025-10-02' FROM bench.stage LIMIT 1000;
ANALYZE analytics.user_activity;
SELECT :copies * (count(DISTINCT user_id) + count(DISTINCT session_id) + count(*) FILTER (WHERE event_type = 'agent_run')) AS distinct_things,
       :copies * count(*) AS number_of_events FROM bench.stage \gset
\c
SELECT bench.peak_of('2025-10-02', 65536) AS small \gset
\c
SELECT bench.peak_of('2025-10-01', 65536) AS large \gset
\c
SELECT bench.peak_of('2025-10-01', :little) AS passes \gset
SELECT (:large - :small) * 1024.0 / :distinct_things AS bytes \gset
CALL bench.record('memory of a day of ' || :number_of_events || ' events in one workspace, per distinct user, session and run', round(:bytes, 1) || ' bytes', NULL, NULL, NULL,
                  CASE :copies WHEN 5 THEN 'bar: <= 64 bytes' END, CASE :copies WHEN 5 THEN :bytes <= 64 END);
CALL bench.record('peak of it', round(:large / 1024.0) || ' MB', 'with rollup_memory_mb = ' || :little, round(:passes / 1024.0) || ' MB', :large / (:passes)::numeric, '', NULL);
DELETE FROM analytics.settings WHERE name = 'rollup_memory_mb';
