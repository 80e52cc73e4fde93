-- What row security costs: the same query as a tenant and, with the same filter spelled out, as the owner. In a
-- database of its own, whose role regress_bench_member it makes:
--   psql -f test/bench/policies.sql
-- The least of 25 runs each, in milliseconds, and their ratio.
\if :{?workspaces}
\else
    \set workspaces 200
\endif
\pset format unaligned
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS shadow_analytics;
SELECT analytics.setup_roles('regress_bench_anon', 'regress_bench_member', 'regress_bench_service') \g /dev/null
CREATE TABLE IF NOT EXISTS public.workspace_members (workspace_id uuid, user_id uuid, PRIMARY KEY (user_id, workspace_id));
TRUNCATE public.workspace_members, analytics.daily_metrics;
INSERT INTO public.workspace_members SELECT md5('w' || w)::uuid, md5('user')::uuid FROM generate_series(1, 3) AS w;
INSERT INTO analytics.daily_metrics (workspace_id, metric_date, total_runs, is_final)
SELECT md5('w' || w)::uuid, DATE '2024-01-01' + d, d, true FROM generate_series(1, :workspaces) AS w, generate_series(1, 700) AS d;
VACUUM ANALYZE analytics.daily_metrics;

-- The claims of a Supabase session, as long as they are there.
SELECT set_config('request.jwt.claims', jsonb_build_object(
    'sub', md5('user')::uuid, 'aud', 'authenticated', 'role', 'authenticated', 'email', 'ann@example.org', 'phone', '',
    'iss', 'https://example.supabase.co/auth/v1', 'iat', 1760000000, 'exp', 1760003600, 'session_id', md5('s')::uuid, 'aal', 'aal1',
    'amr', '[{"method": "password", "timestamp": 1760000000}]'::jsonb, 'is_anonymous', false,
    'app_metadata', '{"provider": "email", "providers": ["email"]}'::jsonb, 'user_metadata', '{}'::jsonb)::text, false) \g /dev/null
SET max_parallel_workers_per_gather = 0;
SET jit = off;

-- By turns, so that what else the machine does slows both.
CREATE PROCEDURE pg_temp.compare(INOUT name text, query text, filter text, OUT as_tenant numeric, OUT as_owner numeric, OUT ratio numeric) LANGUAGE plpgsql AS $$
DECLARE
    started timestamptz;
    tenant interval;
    owner interval;
BEGIN
    FOR i IN 1 .. 25 LOOP
        started := clock_timestamp();
        EXECUTE query || ' WHERE ' || filter;
        owner := least(owner, clock_timestamp() - started);
        SET LOCAL ROLE regress_bench_member;
        started := clock_timestamp();
        EXECUTE query;
        tenant := least(tenant, clock_timestamp() - started);
        RESET ROLE;
    END LOOP;
    as_tenant := round(extract(epoch FROM tenant) * 1000, 2);
    as_owner := round(extract(epoch FROM owner) * 1000, 2);
    ratio := round(as_tenant / as_owner, 2);
END $$;
SELECT format('workspace_id = ANY (%L::uuid[])', array_agg(md5('w' || w)::uuid)) AS mine FROM generate_series(1, 3) AS w \gset
SET enable_seqscan = off;
CALL pg_temp.compare('by index', 'SELECT sum(total_runs) FROM analytics.daily_metrics',
                     :'mine', NULL, NULL, NULL) \gset by_index_
RESET enable_seqscan;
SET enable_indexscan = off;
SET enable_bitmapscan = off;
CALL pg_temp.compare('full scan', 'SELECT sum(total_runs) FROM analytics.daily_metrics',
                     :'mine', NULL, NULL, NULL) \gset by_scan_
RESET enable_indexscan;
RESET enable_bitmapscan;

\echo by index: :by_index_as_tenant ms as a tenant, :by_index_as_owner ms as the owner; full scan: :by_scan_as_tenant and :by_scan_as_owner
SELECT to_regclass('bench.result') IS NOT NULL AS has_report \gset
\if :has_report
CALL bench.record('row security, by index', :'by_index_as_tenant' || ' ms', 'the same filter by the owner', :'by_index_as_owner' || ' ms', :by_index_ratio, '<= 2', :by_index_ratio <= 2);
CALL bench.record('row security, full scan', :'by_scan_as_tenant' || ' ms', 'the same filter by the owner', :'by_scan_as_owner' || ' ms', :by_scan_ratio, '<= 2', :by_scan_ratio <= 2);
\endif
RESET request.jwt.claims;
TRUNCATE public.workspace_members, analytics.daily_metrics, analytics.access_roles;
DROP OWNED BY regress_bench_anon, regress_bench_member, regress_bench_service;
DROP ROLE regress_bench_anon, regress_bench_member, regress_bench_service;
