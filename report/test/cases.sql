-- Workspaces that a page must bear, beside the demo's: hostile names, one user, one day, no runs, nothing.
SET TimeZone = 'UTC';
SET client_min_messages = warning;
CREATE FUNCTION pg_temp.workspace(kind text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5('report ' || kind)::uuid $$;

CREATE TEMP TABLE hostile (n serial, name text);
INSERT INTO hostile (name) VALUES
    ('</script><script>window.hacked = 1</script>'), ('"><img src=x onerror="window.hacked = 1">'), ('<svg onload=window.hacked=1>'),
    (U&'\202e\0645\0631\062d\0628\0627 \0628\0627\0644\0639\0627\0644\0645'), ('''; DROP TABLE analytics.users; --'), ('{a|b} {c} ${window.hacked=1} {{1+1}}'),
    (U&'\+01F600 \+01F468\200D\+01F469\200D\+01F467 \+01F1E9\+01F1EA'), ('=HYPERLINK("http://example.org")'), (E'two\nlines\tand a tab'), (repeat('W', 100)),
    ('&lt;b&gt; &amp; <!-- ]]> @REPORT@ \u003c');

INSERT INTO analytics.workspaces SELECT pg_temp.workspace('hostile'), name FROM hostile WHERE n = 1;
INSERT INTO analytics.agents SELECT pg_temp.workspace('hostile'), md5(name)::uuid, name FROM hostile;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, metadata, created_at)
SELECT pg_temp.workspace('hostile'), md5('user ' || u)::uuid, t.type, h.name,
       CASE t.type WHEN 'agent_run' THEN jsonb_build_object('agent_id', md5(h.name)::uuid, 'run_id', h.n || '/' || d || '/' || u, 'status', CASE WHEN (h.n + d) % 3 = 0 THEN 'failed' ELSE 'ok' END,
           'runtime', h.n, 'credits', h.n, 'model', h.name, 'error_type', CASE WHEN (h.n + d) % 3 = 0 THEN h.name END)
       ELSE '{}' END,
       (CURRENT_DATE - d)::timestamp AT TIME ZONE 'UTC' + (h.n + u) * interval '1 hour'
FROM hostile AS h, generate_series(1, 8) AS d, generate_series(1, 3) AS u, (VALUES ('agent_run'), ('feature_use')) AS t (type)
WHERE h.n >= u;
-- 10,000 names of each kind.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, metadata, created_at)
SELECT pg_temp.workspace('many'), md5('user ' || n % 500)::uuid, t.type, 'name ' || n,
       CASE t.type WHEN 'agent_run' THEN jsonb_build_object('agent_id', md5(n::text)::uuid, 'run_id', n::text, 'status', 'failed', 'runtime', n, 'credits', 1, 'model', 'model ' || n, 'error_type', 'error ' || n) ELSE '{}' END,
       (CURRENT_DATE - 1 - n % 5)::timestamp AT TIME ZONE 'UTC' + interval '1 hour' + n * interval '1 second'
FROM generate_series(1, 10000) AS n, (VALUES ('agent_run'), ('feature_use')) AS t (type);
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT pg_temp.workspace('one user'), md5('only')::uuid, 'agent_run', jsonb_build_object('agent_id', md5('only agent')::uuid, 'status', 'ok', 'runtime', 3),
       (CURRENT_DATE - d)::timestamp AT TIME ZONE 'UTC' + interval '9 hours'
FROM generate_series(1, 10) AS d;
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at)
SELECT pg_temp.workspace('no runs'), md5('user ' || u)::uuid, 'page_view', (CURRENT_DATE - d)::timestamp AT TIME ZONE 'UTC' + u * interval '1 hour'
FROM generate_series(1, 12) AS d, generate_series(1, 9) AS u;

-- An alert that fires and one that waits, with hostile words; a price, so that there are costs.
INSERT INTO analytics.alert_rules (workspace_id, id, name, metric_type, condition, threshold_value, severity)
SELECT pg_temp.workspace('hostile'), md5('rule ' || n)::uuid, name, 'error_rate', 'greater_than', 5, 'critical' FROM hostile WHERE n <= 2;
INSERT INTO analytics.alert_history (workspace_id, id, alert_rule_id, rule_name, severity, triggered_at, metric_type, condition, metric_value, threshold_value, reason)
SELECT pg_temp.workspace('hostile'), md5('alert')::uuid, md5('rule 1')::uuid, name, 'critical', now() - interval '1 hour', 'error_rate', 'greater_than', 7.5, 5, 'error_rate 7.50 > 5 ' || name FROM hostile WHERE n = 2;
INSERT INTO analytics.alert_rule_states AS s (workspace_id, alert_rule_id, state, since, alert_id)
SELECT pg_temp.workspace('hostile'), md5('rule ' || n)::uuid, CASE n WHEN 1 THEN 'firing' ELSE 'pending' END, now() - interval '1 hour', CASE n WHEN 1 THEN md5('alert')::uuid END FROM hostile WHERE n <= 2
ON CONFLICT (workspace_id, alert_rule_id) DO UPDATE SET state = EXCLUDED.state, since = EXCLUDED.since, alert_id = EXCLUDED.alert_id;
INSERT INTO analytics.credit_prices (workspace_id, price) VALUES (pg_temp.workspace('hostile'), 0.25);
