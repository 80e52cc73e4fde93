-- What clients name by text: agents, users and sessions. The uuids are Python's uuid.uuid5(workspace, 'agent:...').
SET timezone = 'UTC';
SET datestyle = 'ISO';
\set SHOW_CONTEXT never
\set w '11111111-1111-1111-1111-111111111111'
\set w2 '11111111-1111-1111-1111-111111111112'
\set u 'aaaaaaaa-0000-0000-0000-000000000001'
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0');
SELECT (now() AT TIME ZONE 'UTC')::date - 3 AS day \gset

-- Agents by text: under any of the three keys, in two workspaces two agents; a uuid is one in any spelling, and may have
-- a name that people gave it. What is no text of at most 100 characters is no agent, and is counted.
INSERT INTO analytics.agents (workspace_id, agent_id, name) VALUES (:'w', '22222222-2222-2222-2222-222222222222', 'Two');
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT v.workspace_id::uuid, :'u', 'agent_run', v.metadata || '{"status": "failed"}', :'day'::date + interval '10 hours' + n * interval '1 minute'
FROM (VALUES (1, :'w', '{"agent_id": "research-agent", "tokens": 7}'::jsonb), (2, :'w', '{"agentId": "research-agent"}'), (3, :'w', '{"agent": "Zoë"}'),
             (4, :'w', '{"agent_id": null, "agent": "research-agent"}'), (5, :'w', '{"agent_id": "{22222222-2222-2222-2222-222222222222}"}'),
             (6, :'w', jsonb_build_object('agent_id', repeat('é', 101))), (7, :'w', jsonb_build_object('agent_id', repeat('é', 100))),
             (8, :'w', '{"agent_id": 17}'), (9, :'w', '{"agent": {"name": "a"}}'), (10, :'w', '{"agent_id": ""}'),
             (11, :'w2', '{"agent_id": "research-agent"}')) AS v (n, workspace_id, metadata);
SELECT analytics.aggregate_daily_metrics(:'day');
SELECT p.workspace_id, p.agent_id, left(n.name, 20) AS name, p.total_runs, p.total_tokens_used
FROM analytics.agent_performance AS p LEFT JOIN analytics.agents AS n USING (workspace_id, agent_id) ORDER BY p.workspace_id, p.total_runs DESC, n.name COLLATE "C";
SELECT bool_and(first_seen = :'day'::date OR name = 'Two') AS first_seen_is_the_day FROM analytics.agents;
SELECT total_runs, unique_agents_run, ignored_values, jsonb_path_query_array(top_agents, '$[0 to 2].name') AS names, top_agents -> 0 AS first
FROM analytics.daily_metrics WHERE workspace_id = :'w';
-- A name that people changed stays, an earlier day is seen first.
UPDATE analytics.agents SET name = 'The researcher' WHERE name = 'research-agent' AND workspace_id = :'w';
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
VALUES (:'w', :'u', 'agent_run', '{"agent_id": "research-agent", "status": "ok"}', :'day'::date - 1);
SELECT analytics.aggregate_daily_metrics(:'day'::date - 1), analytics.aggregate_daily_metrics(:'day');
SELECT jsonb_path_query_array(top_agents, '$[0 to 3].name') AS names FROM analytics.daily_metrics WHERE workspace_id = :'w' AND metric_date = :'day';
SELECT name, first_seen = :'day'::date - 1 AS is_the_day_before FROM analytics.agents WHERE agent_id = '7c98f413-d7ba-52b4-867f-d7451de3f1ca';

-- The name stands beside the uuid wherever agents are compared.
SELECT view, error FROM analytics.refresh_all_materialized_views() WHERE error IS NOT NULL;
SELECT agent_id, left(agent_name, 20) AS agent_name, rank FROM analytics.top_agents WHERE workspace_id = :'w' ORDER BY rank LIMIT 2;
SELECT DISTINCT left(agent_name, 20) COLLATE "C" AS agent_name FROM analytics.agent_usage_trends WHERE workspace_id = :'w' ORDER BY 1;
-- A refresh finds a name that was changed, removed or added though no rollup has changed; cohorts have no names.
SELECT count(*) > 0 AS reads_everything FROM analytics_internal.read_changes('test', '', false);
UPDATE analytics.agents SET name = 'The reader' WHERE name = 'The researcher' AND workspace_id = :'w';
DELETE FROM analytics.agents WHERE name = 'Two';
SELECT view, error FROM analytics.refresh_all_materialized_views() WHERE error IS NOT NULL;
SELECT v.agent_id, v.agent_name, bool_and(t.agent_name IS NOT DISTINCT FROM v.agent_name) AS on_all_days
FROM analytics.top_agents AS v JOIN analytics.agent_usage_trends AS t USING (workspace_id, agent_id)
WHERE v.workspace_id = :'w' AND (v.agent_name = 'The reader' OR v.agent_id = '22222222-2222-2222-2222-222222222222') GROUP BY 1, 2 ORDER BY 1;
INSERT INTO analytics.agents (workspace_id, agent_id, name) VALUES (:'w', '22222222-2222-2222-2222-222222222222', 'Two');
UPDATE analytics.agents SET name = 'The researcher' WHERE name = 'The reader' AND workspace_id = :'w';
SELECT view, error FROM analytics.refresh_all_materialized_views() WHERE error IS NOT NULL;
SELECT v.agent_name, count(DISTINCT v.agent_id) FROM analytics.agent_usage_trends AS v JOIN analytics.top_agents AS t USING (workspace_id, agent_id, agent_name)
WHERE v.workspace_id = :'w' AND v.agent_name IN ('The researcher', 'Two') GROUP BY 1 ORDER BY 1;
SELECT count(*) AS changed_for_cohorts FROM analytics_internal.read_changes('test', '', false) WHERE from_date = '-infinity';
DELETE FROM analytics.change_readers WHERE reader = 'test';
SELECT agent_name, total_runs FROM analytics.get_agent_insights('22222222-2222-2222-2222-222222222222');
SELECT breakdown_value, left(agent_name, 20) AS agent_name, runs FROM analytics.get_run_metrics(:'w', 'agent_id', start_date => :'day', end_date => :'day') ORDER BY runs DESC, agent_name LIMIT 2;
SELECT agent_name, breakdown_value FROM analytics.get_run_metrics(:'w', 'status', start_date => :'day', end_date => :'day');
SELECT jsonb_path_query_array(analytics.report(:'w', :'day', :'day'), '$.agents.items[0 to 1].name') AS names;
INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value, evaluation_window_minutes)
VALUES (:'w', 'failing', 'agent_failures', 'greater_than', 0, 60);
SELECT left(jsonb_path_query(t.evaluation_context, '$.failing_agents[*] ? (@.failed_runs == 3 || @.name == "Two")')::text, 200) AS failing
FROM analytics.alert_rules AS r, analytics.test_alert_rule(r.id, :'day'::date + interval '11 hours') AS t;

-- Users and sessions by text, where the setting allows it; a uuid is always one. What is stored is the uuid alone.
SELECT analytics.track('login', workspace_id => :'w', user_id => 'jane@example.com');
SELECT analytics.track('login', workspace_id => :'w', user_id => :'u', session_id => 's1');
SELECT jsonb_pretty(rejected) AS rejected FROM analytics.track_batch('[{"event_type": "login", "user_id": "jane@example.com"}]');
INSERT INTO analytics.settings VALUES ('text_ids', 'true');
SELECT analytics.track('login', workspace_id => :'w', user_id => 'jane@example.com', session_id => 's1', event_name => 'text') IS NOT NULL AS stored;
SELECT analytics.track('login', '{}', :'w', :'u'::uuid, 'uuid', session_id => :'u'::uuid) IS NOT NULL AS stored;
SELECT accepted, rejected FROM analytics.track_batch('[{"event_type": "login", "workspace_id": "11111111-1111-1111-1111-111111111111", "user_id": "jane@example.com", "session_id": "s1", "event_name": "batch"},
    {"event_type": "login", "user_id": "jane@example.com", "event_name": "batch, no workspace"}, {"event_type": "login", "user_id": ""}]');
SELECT event_name, user_id, session_id, user_id = analytics.user_uuid(workspace_id, 'jane@example.com') AS is_jane
FROM analytics.user_activity WHERE event_type = 'login' ORDER BY event_name;
SELECT analytics.user_uuid(:'w', 'jane@example.com'), analytics.user_uuid(:'w', '{AAAAAAAA-0000-0000-0000-000000000001}') AS as_it_is,
       analytics.user_uuid(NULL, 'jane@example.com') = analytics.user_uuid('00000000-0000-0000-0000-000000000000', 'jane@example.com') AS nil, analytics.user_uuid(:'w', NULL);

-- Subjects of identity providers that are no uuid. Off: nobody, and the error names the setting; that they came is known
-- although the transaction fails.
CREATE SCHEMA names_test;
CREATE TABLE names_test.members (workspace uuid, member text);
INSERT INTO names_test.members VALUES (:'w', 'auth0|5f7c8ec7c33c6c004bbafe82'), (:'w2', 'auth0|another'), (:'w2', :'u');
INSERT INTO analytics.membership (relation, workspace_column, user_column) VALUES ('names_test.members', 'workspace', 'member');
CREATE ROLE regress_names_none;
CREATE ROLE regress_names_member;
CREATE ROLE regress_names_service;
SELECT analytics.setup_roles('regress_names_none', 'regress_names_member', 'regress_names_service');
SELECT count(*) FROM analytics.security_audit() WHERE object = 'setting text_subjects';
BEGIN;
SET LOCAL ROLE regress_names_member;
SET LOCAL request.jwt.claims = '{"sub": "auth0|5f7c8ec7c33c6c004bbafe82"}';
SELECT analytics.current_user_id(), analytics.workspace_ids();
SAVEPOINT one;
SELECT analytics.track('click');
ROLLBACK TO one;
SELECT analytics.track('click', user_id => :'u');
ROLLBACK;
SELECT regexp_replace(finding, 'at [^)]*', 'at ...') AS finding, severity, remedy FROM analytics.security_audit() WHERE object = 'setting text_subjects';
-- On: the user is the same in all workspaces, the membership is compared as text.
INSERT INTO analytics.settings VALUES ('text_subjects', 'true');
SELECT count(*) FROM analytics.security_audit() WHERE object = 'setting text_subjects';
SELECT analytics.user_uuid(:'w', 'auth0|5f7c8ec7c33c6c004bbafe82');
BEGIN;
SET LOCAL ROLE regress_names_member;
SET LOCAL request.jwt.claims = '{"sub": "auth0|5f7c8ec7c33c6c004bbafe82"}';
SELECT analytics.current_user_id(), analytics.workspace_ids();
SELECT analytics.track('click', workspace_id => :'w', event_name => 'mine') IS NOT NULL AS stored;
SELECT accepted FROM analytics.track_batch('[{"event_type": "click", "user_id": "auth0|5f7c8ec7c33c6c004bbafe82", "event_name": "by text"}]');
SELECT event_name, user_id FROM analytics.user_activity ORDER BY event_name;
SAVEPOINT one;
SELECT analytics.track('click', workspace_id => :'w2');
ROLLBACK TO one;
SET LOCAL request.jwt.claims = '{"sub": "AAAAAAAA-0000-0000-0000-000000000001"}';
SELECT analytics.current_user_id(), analytics.workspace_ids();
SET LOCAL request.jwt.claims = '{"sub": "nobody''s"}';
SELECT analytics.current_user_id() IS NULL AS is_nobody, analytics.workspace_ids();
ROLLBACK;
DROP OWNED BY regress_names_none, regress_names_member, regress_names_service;
DROP ROLE regress_names_none, regress_names_member, regress_names_service;
DELETE FROM analytics.membership;
DELETE FROM analytics.access_roles;
DROP TABLE names_test.members;
DROP SCHEMA names_test;
SELECT setval('analytics.refused_subjects', 0, false);

TRUNCATE analytics.user_activity, analytics.agents, analytics.alert_rules, analytics.alert_rule_states, analytics.alert_history, analytics.dirty_hours, analytics.daily_metrics, analytics.hourly_metrics, analytics.agent_performance,
         analytics.daily_event_usage, analytics.daily_error_types, analytics.daily_users, analytics.daily_user_revenue, analytics.users;
DELETE FROM analytics.settings;
