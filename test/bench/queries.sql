-- Each query named in an index COMMENT, and each materialized view and tenant view for one workspace: the time and the
-- plan, on a closed day of the whole size and on the rollups of refresh.sql (90 days, 13 agents).
SELECT NOT EXISTS (SELECT FROM analytics.mv_active_users) AS missing \gset
\if :missing
\ir refresh.sql
SELECT count(*) FROM analytics.refresh_all_materialized_views() \g /dev/null
\endif
\ir day.sql
-- What the daily schedule does: also the days that other topics left here.
SELECT analytics_internal.index_closed_partitions() \g /dev/null
VACUUM ANALYZE analytics.user_activity_20251108;
ANALYZE analytics.mv_active_users, analytics.mv_top_agents, analytics.mv_workspace_summary, analytics.mv_error_trends, analytics.mv_agent_usage_trends;

-- A workspace in the middle by size, and one of its agents. Alerts, jobs and the like have few rows here: their queries
-- may be answered by another index.
CREATE TABLE bench.query (index_name text, query text, place serial);
INSERT INTO bench.query (index_name, query)
SELECT q.index_name, replace(q.query, ':w', quote_literal(md5('w50')::uuid)) FROM (VALUES
('user_activity_20251108_pkey', 'SELECT * FROM analytics.user_activity WHERE workspace_id = :w AND created_at >= ''2025-11-08 12:00Z'' AND created_at < ''2025-11-08 13:00Z'''),
('user_activity_20251108_created_at_brin', 'SELECT count(*) FROM analytics.user_activity WHERE created_at >= ''2025-11-08 12:00Z'' AND created_at < ''2025-11-08 13:00Z'''),
('user_activity_20251108_metadata_gin', 'SELECT * FROM analytics.user_activity WHERE metadata @> jsonb_build_object(''agent_id'', md5(''a50-3'')::uuid)'),
('user_activity_20251108_failures', 'SELECT * FROM analytics.user_activity WHERE workspace_id = :w AND event_type = ''error'' ORDER BY created_at DESC LIMIT 50'),
('user_activity_20251108_users', 'SELECT user_id, created_at, event_type, event_name FROM analytics.user_activity WHERE workspace_id = :w ORDER BY user_id, created_at'),
('daily_metrics_pkey', 'SELECT * FROM analytics.get_workspace_metrics(:w)'),
('daily_metrics_metric_date_brin', 'SELECT count(*), sum(total_runs) FROM analytics.daily_metrics WHERE metric_date >= current_date - 7'),
('daily_metrics_provisional', 'SELECT workspace_id, metric_date FROM analytics.daily_metrics WHERE NOT is_final'),
('hourly_metrics_pkey', 'SELECT * FROM analytics.hourly_metrics WHERE workspace_id = :w AND metric_hour >= now() - interval ''1 day'''),
('hourly_metrics_metric_hour_brin', 'SELECT * FROM analytics.hourly_metrics WHERE metric_hour = ''2025-11-08 12:00Z'''),
('hourly_metrics_provisional', 'SELECT workspace_id, metric_hour FROM analytics.hourly_metrics WHERE NOT is_final'),
('agent_performance_pkey', 'SELECT * FROM analytics.agent_performance WHERE workspace_id = :w AND agent_id = md5(''a7'')::uuid AND metric_date >= current_date - 30'),
('agent_performance_agent_id', 'SELECT * FROM analytics.agent_performance WHERE agent_id = md5(''a7'')::uuid AND metric_date >= current_date - 7'),
('agent_performance_metric_date_brin', 'SELECT count(*), sum(total_runs) FROM analytics.agent_performance WHERE metric_date >= current_date - 7'),
('daily_error_types_pkey', 'SELECT * FROM analytics.daily_error_types WHERE workspace_id = :w AND metric_date BETWEEN current_date - 30 AND current_date'),
('daily_error_types_metric_date_brin', 'SELECT * FROM analytics.daily_error_types WHERE metric_date = current_date - 7'),
('daily_event_usage_pkey', 'SELECT * FROM analytics.daily_event_usage WHERE workspace_id = :w AND metric_date BETWEEN current_date - 30 AND current_date'),
('daily_event_usage_metric_date_brin', 'SELECT * FROM analytics.daily_event_usage WHERE metric_date = current_date - 7'),
('daily_users_metric_date_brin', 'SELECT * FROM analytics.daily_users WHERE metric_date = current_date - 7'),
('daily_user_revenue_metric_date_brin', 'SELECT * FROM analytics.daily_user_revenue WHERE metric_date = current_date - 7'),
('users_pkey', 'SELECT user_number FROM analytics.users WHERE workspace_id = :w AND user_id = md5(''u50001'')::uuid'),
('users_user_number_key', 'SELECT max(user_number) FROM analytics.users WHERE workspace_id = :w'),
('daily_users_pkey', 'SELECT * FROM analytics.get_active_users(:w, current_date - 30, current_date - 1)'),
('daily_user_revenue_pkey', 'SELECT * FROM analytics.daily_user_revenue WHERE workspace_id = :w AND metric_date >= current_date - 30 ORDER BY metric_date'),
('user_cohorts_pkey', 'SELECT * FROM analytics.user_cohorts WHERE workspace_id = :w AND cohort_period = ''weekly'' AND cohort_date >= current_date - 90'),
('credit_prices_pkey', 'SELECT price FROM analytics.credit_prices WHERE workspace_id = :w AND model = ''gpt-4o'' AND valid_from <= now() ORDER BY valid_from DESC LIMIT 1'),
('alert_rules_pkey', 'SELECT * FROM analytics.alert_rules WHERE workspace_id = :w'),
('alert_history_pkey', 'SELECT * FROM analytics.alert_history WHERE workspace_id = :w AND id = md5(''x'')::uuid'),
('alert_history_one_open', 'SELECT * FROM analytics.active_alerts'),
('alert_history_triggered', 'SELECT * FROM analytics.alert_history WHERE workspace_id = :w AND triggered_at >= now() - interval ''1 day'' ORDER BY triggered_at'),
('alert_history_snoozed', 'SELECT * FROM analytics.alert_history WHERE workspace_id = :w AND alert_rule_id = md5(''x'')::uuid AND snoozed_until > now()'),
('notification_destinations_pkey', 'SELECT * FROM analytics.notification_destinations WHERE workspace_id = :w AND name = ''ops'''),
('notification_outbox_pkey', 'SELECT * FROM analytics.notification_outbox WHERE workspace_id = :w AND id = md5(''x'')::uuid'),
('notification_outbox_once', 'SELECT * FROM analytics.notification_outbox WHERE workspace_id = :w AND alert_id = md5(''x'')::uuid'),
('notification_outbox_due', 'SELECT * FROM analytics.notification_outbox WHERE status IN (''waiting'', ''sending'') AND next_attempt_at <= now()'),
('notification_outbox_created', 'SELECT count(*) FROM analytics.notification_outbox WHERE workspace_id = :w AND created_at > now() - interval ''1 hour'''),
('dirty_hours_metric_hour', 'SELECT metric_hour FROM analytics.dirty_hours ORDER BY metric_hour DESC LIMIT 1'),
('closed_days_event_day', 'SELECT * FROM analytics.closed_days WHERE event_day = current_date - 7'),
('sealed_days_event_day', 'SELECT EXISTS (SELECT FROM analytics.sealed_days WHERE event_day BETWEEN current_date - 7 AND current_date)'),
('job_runs_step', 'SELECT * FROM analytics.job_runs WHERE step = ''close_days'' ORDER BY started_at DESC LIMIT 1'),
('job_runs_running', 'SELECT * FROM analytics.job_progress'),
('mv_active_users_key', 'SELECT * FROM analytics.mv_active_users WHERE workspace_id = :w'),
('mv_top_agents_key', 'SELECT * FROM analytics.mv_top_agents WHERE workspace_id = :w'),
('mv_workspace_summary_key', 'SELECT * FROM analytics.mv_workspace_summary WHERE workspace_id = :w'),
('mv_error_trends_key', 'SELECT * FROM analytics.mv_error_trends WHERE workspace_id = :w'),
('mv_agent_usage_trends_key', 'SELECT * FROM analytics.mv_agent_usage_trends WHERE workspace_id = :w AND agent_id = md5(''a7'')::uuid')
) AS q (index_name, query);

-- The indexes in a plan, and whether a table is read as a whole.
CREATE OR REPLACE FUNCTION bench.plan_of(query text, OUT indexes text[], OUT has_scan boolean) LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    indexes := ARRAY(SELECT DISTINCT i #>> '{}' FROM jsonb_path_query(plan, 'strict $.**."Index Name"') AS i);
    has_scan := plan @? 'strict $.** ? (@."Node Type" == "Seq Scan")';
END
$$;

-- The owner asks: what tenants add is in the benches "reading" and "policies". Plans inside functions are not shown.
INSERT INTO bench.statement SELECT 'query: ' || index_name, '', query FROM bench.query ORDER BY place;
CALL bench.run(3);
\echo queries named in index comments
SELECT q.index_name, round(bench.ms('query: ' || q.index_name), 2) AS ms, q.index_name = ANY (p.indexes) AS is_used, p.has_scan
FROM bench.query AS q, bench.plan_of(q.query) AS p ORDER BY q.place;
SELECT max(bench.ms('query: ' || index_name)) AS slowest,
       (array_agg(index_name ORDER BY bench.ms('query: ' || index_name) DESC))[1] AS slowest_name, count(*) AS queries FROM bench.query \gset
CALL bench.record(:'queries' || ' queries named in index comments, the slowest', bench.shown(:slowest), :'slowest_name', NULL, NULL, '< 100 ms', :slowest < 100);
-- Nothing is left out.
SELECT count(*) AS forgotten, string_agg(c.relname, ', ') AS names
FROM pg_class AS c
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'i' AND obj_description(c.oid, 'pg_class') IS NOT NULL
  AND (c.relname !~ '^user_activity_' OR c.relname ~ '^user_activity_20251108_')
  AND NOT EXISTS (SELECT FROM bench.query AS q WHERE q.index_name = c.relname) \gset
\if :{?names}
\echo indexes without a query here: :names
\endif
CALL bench.record('index comments without a query in this bench', :'forgotten', NULL, NULL, NULL, '0', :forgotten = 0);

-- Plans of one workspace's rows: of the owner, and of a member of three workspaces in the tenant view.
CREATE TABLE IF NOT EXISTS public.workspace_members (workspace_id uuid, user_id uuid, PRIMARY KEY (user_id, workspace_id));
INSERT INTO public.workspace_members SELECT md5('w' || w)::uuid, md5('planner')::uuid FROM generate_series(50, 52) AS w ON CONFLICT DO NOTHING;
ANALYZE public.workspace_members;
SELECT analytics.setup_roles() \g /dev/null
CREATE OR REPLACE FUNCTION bench.plan_as_member(query text, OUT indexes text[], OUT has_scan boolean) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('request.jwt.claims', format('{"sub": "%s"}', md5('planner')::uuid), true);
    GRANT USAGE ON SCHEMA bench TO authenticated;
    SET LOCAL ROLE authenticated;
    SELECT p.indexes, p.has_scan INTO indexes, has_scan FROM bench.plan_of(query) AS p;
    RESET ROLE;
END
$$;
SELECT format('CALL bench.record(%L, %L, NULL, NULL, NULL, ''an index plan'', %L)', v.name || ', one workspace: its plan',
              CASE WHEN p.indexes = '{}' THEN 'a scan' ELSE 'by ' || array_to_string(p.indexes, ', ') END, NOT p.has_scan AND cardinality(p.indexes) > 0)
FROM unnest('{mv_active_users,mv_top_agents,mv_workspace_summary,mv_error_trends,mv_agent_usage_trends}'::text[]) AS v (name),
     bench.plan_of(format('SELECT * FROM analytics.%I WHERE workspace_id = md5(''w50'')::uuid', v.name)) AS p \gexec
SELECT format('CALL bench.record(%L, %L, NULL, NULL, NULL, ''an index plan'', %L)', v.name || ', a tenant''s own: its plan',
              CASE WHEN p.indexes = '{}' THEN 'a scan' ELSE 'by ' || array_to_string(p.indexes, ', ') END, NOT p.has_scan AND cardinality(p.indexes) > 0)
FROM unnest('{active_users,top_agents,workspace_summary,error_trends,agent_usage_trends}'::text[]) AS v (name),
     bench.plan_as_member(format('SELECT * FROM analytics.%I', v.name)) AS p \gexec
DROP TABLE bench.query;
