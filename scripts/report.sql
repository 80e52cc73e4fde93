-- What ./quickstart shows at its end: the busiest workspace's last days, its agents, its errors.
\pset footer off
\pset null '-'
SET TimeZone = 'UTC';

SELECT d.workspace_id, coalesce(w.name, d.workspace_id::text) AS workspace, max(d.metric_date) AS last_day
FROM analytics.daily_metrics AS d LEFT JOIN analytics.workspaces AS w USING (workspace_id)
GROUP BY 1, 2 ORDER BY sum(d.total_events) DESC, 1 LIMIT 1 \gset

\echo
\echo :workspace: the last days (analytics.daily_metrics)
SELECT to_char(metric_date, 'Dy DD Mon') AS day, total_events AS events, active_users AS users,
       total_sessions AS sessions, total_runs AS runs, success_rate AS "success %",
       median_runtime_seconds AS "p50 s", p95_runtime_seconds AS "p95 s",
       round(total_credits_consumed, 1) AS credits, error_rate AS "errors %", is_final AS final
FROM analytics.daily_metrics
WHERE workspace_id = :'workspace_id' AND metric_date > :'last_day'::date - 10
ORDER BY metric_date;

SELECT (SELECT metric_date FROM analytics.agent_performance
        WHERE workspace_id = :'workspace_id' AND metric_date > :'last_day'::date - 10
        GROUP BY metric_date ORDER BY sum(total_runs) DESC, metric_date LIMIT 1) AS busiest_day \gset
\if :{?busiest_day}
SELECT to_char(:'busiest_day'::date, 'Dy DD Mon') AS busiest_label \gset
\echo :workspace: its agents on :busiest_label, the busiest of them (analytics.agent_performance)
SELECT coalesce(n.name, p.agent_id::text) AS agent, p.total_runs AS runs, p.success_rate AS "success %",
       p.unique_users AS users, p.p50_runtime_seconds AS "p50 s", p.p95_runtime_seconds AS "p95 s",
       round(p.total_credits, 1) AS credits, p.avg_user_rating AS rating
FROM analytics.agent_performance AS p LEFT JOIN analytics.agents AS n USING (workspace_id, agent_id)
WHERE p.workspace_id = :'workspace_id' AND p.metric_date = :'busiest_day'
ORDER BY p.total_runs DESC, p.agent_id LIMIT 10;
\endif

\echo :workspace: errors of the last days by type (analytics.daily_metrics.errors_by_type)
SELECT e.key AS error_type, sum(e.value::bigint) AS errors, max(d.metric_date) AS last_seen
FROM analytics.daily_metrics AS d, jsonb_each_text(d.errors_by_type) AS e
WHERE d.workspace_id = :'workspace_id' AND d.metric_date > :'last_day'::date - 10
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10;
