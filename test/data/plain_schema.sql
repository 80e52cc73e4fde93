-- A schema "analytics" in plain SQL, as people have it who wrote one themselves by the original description: what
-- doc/migrate.md begins with.
CREATE SCHEMA analytics;
CREATE TYPE analytics.kind AS ENUM ('page_view', 'agent_run', 'error', 'feature_use');
CREATE TABLE analytics.user_activity (
    id bigserial PRIMARY KEY,
    workspace_id uuid NOT NULL,
    user_id uuid NOT NULL,
    event_type analytics.kind NOT NULL,
    event_name varchar(100),
    ip_address text,
    metadata json DEFAULT '{}',
    browser text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON analytics.user_activity USING brin (created_at);
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, ip_address, browser, created_at)
SELECT md5('workspace ' || i % 3)::uuid, md5('user ' || i % 17)::uuid, (enum_range(NULL::analytics.kind))[1 + i % 4],
       json_build_object('status', 'completed', 'runtime_seconds', i), '192.0.2.' || i % 20, 'any',
       date_trunc('day', now()) - i * interval '2 hours'
FROM generate_series(1, 500) AS i;
CREATE TABLE analytics.daily_metrics (workspace_id uuid, metric_date date, total_events bigint, PRIMARY KEY (workspace_id, metric_date));
INSERT INTO analytics.daily_metrics
SELECT workspace_id, (created_at AT TIME ZONE 'UTC')::date, count(*) FROM analytics.user_activity GROUP BY 1, 2;
CREATE MATERIALIZED VIEW analytics.mv_active_users AS SELECT workspace_id, count(DISTINCT user_id) FROM analytics.user_activity GROUP BY 1;
CREATE FUNCTION analytics.aggregate_daily_metrics(target_date date) RETURNS void LANGUAGE sql AS
'SELECT NULL::void; /* reads analytics.user_activity */';
CREATE POLICY own ON analytics.user_activity USING (user_id::text = current_setting('request.jwt.claim.sub', true));
ALTER TABLE analytics.user_activity ENABLE ROW LEVEL SECURITY;
