-- The most specific price in force wins.
SET timezone = 'UTC';
INSERT INTO analytics.credit_prices (workspace_id, model, valid_from, price) VALUES
    ('00000000-0000-0000-0000-000000000000', '', '-infinity', 0.01),
    ('00000000-0000-0000-0000-000000000000', '', '2025-06-01', 0.02),
    ('00000000-0000-0000-0000-000000000000', 'gpt', '2025-03-01', 0.03),
    ('00000000-0000-0000-0000-000000000001', '', '2025-02-01', 0.04),
    ('00000000-0000-0000-0000-000000000001', 'gpt', '2025-07-01', 0.05);
BEGIN;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0');
CREATE TEMP TABLE priced AS
SELECT w, m, t + n AS day
FROM (VALUES (uuid '00000000-0000-0000-0000-000000000001'), ('00000000-0000-0000-0000-000000000002'), (NULL)) AS a (w),
     (VALUES ('gpt', 0), ('other', 1), (NULL, 2)) AS b (m, n),
     (VALUES (DATE '2025-01-01'), ('2025-03-01'), ('2025-07-01')) AS c (t);
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT w, md5('u')::uuid, 'agent_run', jsonb_strip_nulls(jsonb_build_object('status', 'completed', 'credits', 1, 'model', m)), day + interval '12 hours' FROM priced;
SELECT count(analytics.aggregate_daily_metrics(d.day)) FROM (SELECT DISTINCT day FROM priced) AS d;
SELECT right(p.w::text, 1) AS w, p.m, p.day, d.total_cost, d.currency
FROM priced AS p
LEFT JOIN analytics.daily_metrics AS d ON d.workspace_id = coalesce(p.w, '00000000-0000-0000-0000-000000000000') AND d.metric_date = p.day
ORDER BY 1, 2, 3;
ROLLBACK;

-- The currency follows the setting.
INSERT INTO analytics.settings VALUES ('currency', 'EUR');
INSERT INTO analytics.credit_prices (model, price) VALUES ('x', 0.000000001) RETURNING currency;
DELETE FROM analytics.settings;

\set VERBOSITY terse
INSERT INTO analytics.credit_prices (model, price) VALUES ('y', -1);
INSERT INTO analytics.credit_prices (model, price) VALUES ('y', 0.0000000001);
INSERT INTO analytics.credit_prices (model, price) VALUES ('y', 1e9);
INSERT INTO analytics.credit_prices (model, price) VALUES ('y', 'NaN');
INSERT INTO analytics.credit_prices (model, price, currency) VALUES ('y', 1, 'usd');
INSERT INTO analytics.credit_prices (model, price) VALUES (NULL, 1);
INSERT INTO analytics.credit_prices (model, price) VALUES ('x', 1);
-- updated_at is when a value changed.
INSERT INTO analytics.token_prices (model, input_price, output_price) VALUES ('x', 1, 2);
UPDATE analytics.credit_prices SET price = price;
UPDATE analytics.token_prices SET output_price = 3;
SELECT DISTINCT c.updated_at = c.created_at AS credits_unchanged, t.updated_at > t.created_at AS tokens_changed
FROM analytics.credit_prices AS c, analytics.token_prices AS t;
DELETE FROM analytics.token_prices;
\set VERBOSITY default
BEGIN ISOLATION LEVEL REPEATABLE READ;
UPDATE analytics.credit_prices SET price = 1;
ROLLBACK;
\set VERBOSITY terse
TRUNCATE analytics.credit_prices;

-- Costs are never partial sums: NULL, and the reason.
BEGIN;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0'), ('currency', 'EUR');
CREATE FUNCTION pg_temp.w(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT md5('priced ' || n)::uuid $$;
CREATE PROCEDURE pg_temp.run(workspace integer, days_ago integer, agent text, said jsonb) LANGUAGE sql AS $$
    INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
    VALUES (pg_temp.w(workspace), md5('u')::uuid, 'agent_run', said || jsonb_build_object('agent_id', md5(agent)::uuid, 'status', 'completed'),
            current_date - days_ago + interval '12 hours') $$;
-- 1: a day in USD, one in EUR; 2: a day of both; 3: a priced run and one whose credits have no price; 4: USD; 5: no cost.
CALL pg_temp.run(1, 2, 'a', '{"cost_usd": 10}');
CALL pg_temp.run(1, 1, 'a', '{"cost": 5}');
CALL pg_temp.run(2, 3, 'b', '{"cost_usd": 10}');
CALL pg_temp.run(2, 2, 'b', '{"cost_usd": 100}');
CALL pg_temp.run(2, 2, 'b', '{"cost": 100}');
CALL pg_temp.run(2, 1, 'b', '{"cost_usd": 5}');
CALL pg_temp.run(3, 2, 'c', '{"cost_usd": 10}');
CALL pg_temp.run(3, 1, 'c', '{"cost_usd": 10}');
CALL pg_temp.run(3, 1, 'd', '{"credits": 7}');
CALL pg_temp.run(4, 2, 'e', '{"cost_usd": 10}');
CALL pg_temp.run(4, 1, 'e', '{"cost_usd": 5, "credits": 3}');
CALL pg_temp.run(5, 1, 'f', '{}');
SELECT count(analytics.aggregate_daily_metrics(current_date - d)) FROM generate_series(1, 3) AS d;
SELECT n, current_date - metric_date AS days_ago, total_cost, cost_by_model, currency, cost_reason
FROM generate_series(1, 5) AS n JOIN analytics.daily_metrics AS d ON d.workspace_id = pg_temp.w(n) ORDER BY n, 2 DESC;
SELECT a.name, current_date - metric_date AS days_ago, total_cost, currency, cost_reason
FROM unnest('{a,b,c,d,e,f}'::text[]) AS a (name) JOIN analytics.agent_performance AS p ON p.agent_id = md5(a.name)::uuid ORDER BY a.name, 2 DESC;
SELECT a.name, i.total_cost, i.currency, i.cost_reason
FROM unnest('{a,b,c,d,e,f}'::text[]) AS a (name), analytics.get_agent_insights(md5(a.name)::uuid) AS i ORDER BY a.name;
SELECT n, total_cost, previous_total_cost, total_cost_change, currency, previous_currency, cost_reason, previous_cost_reason
FROM generate_series(1, 5) AS n, analytics.get_workspace_summary(pg_temp.w(n), current_date - 1, current_date - 1);
SELECT n, total_cost, currency, cost_reason FROM generate_series(1, 5) AS n, analytics.get_workspace_summary(pg_temp.w(n));
SELECT n, current_date - metric_date AS days_ago, total_cost, currency, cost_reason
FROM generate_series(1, 3) AS n, analytics.get_workspace_metrics(pg_temp.w(n)) ORDER BY n, 2 DESC;
REFRESH MATERIALIZED VIEW analytics.mv_workspace_summary;
SELECT n, total_cost_30d, currency, cost_reason
FROM generate_series(1, 5) AS n JOIN analytics.mv_workspace_summary AS v ON v.workspace_id = pg_temp.w(n) ORDER BY n;
SELECT n, r -> 'workspace' ->> 'currency' AS currency, r -> 'headline' -> 'total_cost' AS cost, r -> 'agents' -> 'items' -> 0 -> 'cost_reason' AS agent
FROM generate_series(1, 5) AS n, analytics.report(pg_temp.w(n), current_date - 1, current_date - 1) AS r;

-- Revenue in another currency is not added: it is counted.
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT pg_temp.w(6), md5('u')::uuid, 'custom', m, current_date - 1 + interval '1 hour'
FROM unnest(ARRAY['{"revenue": 15000, "currency": "JPY"}', '{"revenue": 100, "currency": "eur"}', '{"revenue": 10}',
                  '{"revenue": 1, "currency": "euro"}', '{"revenue": 1, "currency": null}', '{"currency": "USD"}']::jsonb[]) AS m;
SELECT analytics.aggregate_daily_metrics(current_date - 1, pg_temp.w(6));
SELECT revenue, ignored_values FROM analytics.daily_user_revenue AS r JOIN analytics.daily_metrics AS d USING (workspace_id, metric_date)
WHERE workspace_id = pg_temp.w(6);
ROLLBACK;

-- A price that is entered, changed or deleted later has the days computed again on which it is in force.
BEGIN;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0');
DELETE FROM analytics.watermark;
DELETE FROM analytics.dirty_hours;
INSERT INTO analytics.watermark (marked_until) VALUES ('2025-03-09');
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT md5('w' || w)::uuid, md5('u')::uuid, 'agent_run', jsonb_build_object('status', 'completed', 'model', 'm' || d % 2) || CASE WHEN d < 5 THEN '{"credits": 10}'::jsonb ELSE '{}' END,
       date '2025-03-01' + d + interval '2 hours'
FROM generate_series(1, 5) AS d, generate_series(1, 2) AS w;
SELECT count(analytics.aggregate_daily_metrics(date '2025-03-01' + d)) FROM generate_series(1, 5) AS d;
DELETE FROM analytics.dirty_hours;
-- Repairs, and says which days of which workspace.
CREATE FUNCTION pg_temp.repaired(OUT workspace integer, OUT days integer[], OUT cost numeric, OUT reason text) RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMP TABLE due AS
    SELECT n, d.workspace_id, (d.metric_hour AT TIME ZONE 'UTC')::date AS day
    FROM analytics.dirty_hours AS d JOIN generate_series(1, 2) AS n ON d.workspace_id = md5('w' || n)::uuid GROUP BY 1, 2, 3;
    PERFORM analytics_internal.repair_day(d.workspace_id, d.day) FROM due AS d;
    RETURN QUERY SELECT n, array_agg(d.day - date '2025-03-01' ORDER BY d.day), sum(m.total_cost), max(m.cost_reason)
                 FROM due AS d JOIN analytics.daily_metrics AS m ON m.workspace_id = d.workspace_id AND m.metric_date = d.day GROUP BY n ORDER BY n;
    DROP TABLE due;
END
$$;
INSERT INTO analytics.credit_prices (price) VALUES (0.5);
SELECT * FROM pg_temp.repaired();
INSERT INTO analytics.credit_prices (workspace_id, model, price, valid_from) VALUES
    (md5('w1')::uuid, 'm1', 1, '2025-03-02'), (md5('w1')::uuid, 'm1', 2, '2025-03-04 12:00');
SELECT * FROM pg_temp.repaired();
UPDATE analytics.credit_prices SET valid_from = '2025-03-04' WHERE price = 2;
SELECT * FROM pg_temp.repaired();
UPDATE analytics.credit_prices SET currency = 'EUR' WHERE price = 0.5;
SELECT * FROM pg_temp.repaired();
DELETE FROM analytics.credit_prices;
SELECT * FROM pg_temp.repaired();
INSERT INTO analytics.credit_prices (price) VALUES (0.5);
SELECT * FROM pg_temp.repaired();
TRUNCATE analytics.credit_prices;
SELECT * FROM pg_temp.repaired();
SELECT count(*) AS entries FROM analytics.dirty_hours;
ROLLBACK;

-- Prices of tokens: the most specific in force wins; what is no price is refused.
BEGIN;
INSERT INTO analytics.settings VALUES ('catch_up_seconds', '0');
INSERT INTO analytics.token_prices (workspace_id, model, input_price, output_price, cache_read_price, cache_write_price, valid_from) VALUES
    ('00000000-0000-0000-0000-000000000000', '', 1, 1, NULL, NULL, '-infinity'),
    ('00000000-0000-0000-0000-000000000000', 'm', 2, 20, 0.5, NULL, '2025-04-02'),
    (md5('w1')::uuid, '', 3, 30, NULL, 4, '2025-04-03'), (md5('w1')::uuid, 'm', 5, 50, NULL, NULL, '2025-04-04');
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
SELECT md5('w1')::uuid, md5('u')::uuid, 'agent_run',
       '{"status": "completed", "model": "m", "usage": {"input_tokens": 100000, "output_tokens": 10000, "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 1000}}',
       date '2025-04-01' + d + interval '2 hours' FROM generate_series(0, 3) AS d;
SELECT count(analytics.aggregate_daily_metrics(date '2025-04-01' + d, md5('w1')::uuid)) FROM generate_series(0, 3) AS d;
SELECT metric_date, total_tokens_used, tokens_by_model, total_cost, currency FROM analytics.daily_metrics
WHERE workspace_id = md5('w1')::uuid AND metric_date BETWEEN '2025-04-01' AND '2025-04-04' ORDER BY 1;
SELECT tokens, cost, currency, cost_reason FROM analytics.get_run_metrics(md5('w1')::uuid, start_date => '2025-04-01', end_date => '2025-04-04');
ROLLBACK;
INSERT INTO analytics.token_prices (input_price, output_price) VALUES (-1, 1);
INSERT INTO analytics.token_prices (input_price, output_price, cache_read_price) VALUES (1, 1, 1e9);
INSERT INTO analytics.token_prices (input_price, output_price, cache_write_price) VALUES (1, 1, 0.0000000001);
INSERT INTO analytics.token_prices (input_price, output_price, currency) VALUES (1, 1, 'usd');

-- An owner who is no superuser restores prices, as pg_restore does: the days stay as they were dumped.
BEGIN;
CREATE ROLE regress_price_owner;
GRANT :USER TO regress_price_owner;
SET LOCAL ROLE regress_price_owner;
SET LOCAL row_security = off;
INSERT INTO analytics.credit_prices (price) VALUES (0.5) RETURNING price;
INSERT INTO analytics.token_prices (input_price, output_price) VALUES (1, 2) RETURNING input_price;
ROLLBACK;
