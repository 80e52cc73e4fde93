-- What tenants read while the rollups of refresh.sql are there, as a list of statements for pgbench; :w is a workspace.
SELECT NOT EXISTS (SELECT FROM analytics.mv_active_users) AS missing \gset
\if :missing
\ir refresh.sql
\endif
CREATE TABLE IF NOT EXISTS public.workspace_members (workspace_id uuid, user_id uuid, PRIMARY KEY (user_id, workspace_id));
TRUNCATE public.workspace_members;
INSERT INTO public.workspace_members SELECT md5('w' || w)::uuid, md5('member' || w)::uuid FROM generate_series(1, 200) AS w;
ANALYZE public.workspace_members;
SELECT analytics.setup_roles() \g /dev/null
-- The largest answer, 390 rows, beside the same rows in a table without row security: most of it is forming and sending them.
CREATE TABLE bench.trend_row AS SELECT * FROM analytics.mv_agent_usage_trends ORDER BY workspace_id, agent_id, metric_date;
CREATE INDEX ON bench.trend_row (workspace_id);
VACUUM ANALYZE bench.trend_row;
GRANT USAGE ON SCHEMA bench TO authenticated;
GRANT SELECT ON bench.trend_row TO authenticated;
CREATE TABLE bench.reading (name text, query text, bound numeric, place serial);
INSERT INTO bench.reading VALUES
('active_users', 'SELECT * FROM analytics.active_users WHERE workspace_id = md5(''w'' || :w)::uuid;', 5),
('top_agents', 'SELECT * FROM analytics.top_agents WHERE workspace_id = md5(''w'' || :w)::uuid;', 5),
('workspace_summary', 'SELECT * FROM analytics.workspace_summary WHERE workspace_id = md5(''w'' || :w)::uuid;', 5),
('error_trends', 'SELECT * FROM analytics.error_trends WHERE workspace_id = md5(''w'' || :w)::uuid;', 5),
('agent_usage_trends', 'SELECT * FROM analytics.agent_usage_trends WHERE workspace_id = md5(''w'' || :w)::uuid;', 5),
('its rows in a bare table', 'SELECT * FROM bench.trend_row WHERE workspace_id = md5(''w'' || :w)::uuid;', NULL),
('get_workspace_metrics', 'SELECT * FROM analytics.get_workspace_metrics(md5(''w'' || :w)::uuid);', 10),
('get_agent_insights', 'SELECT * FROM analytics.get_agent_insights(md5(''a7'')::uuid);', 10);
