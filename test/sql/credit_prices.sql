-- The most specific price in force wins.
SET timezone = 'UTC';
INSERT INTO analytics.credit_prices (workspace_id, model, valid_from, price) VALUES
    ('00000000-0000-0000-0000-000000000000', '', '-infinity', 0.01),
    ('00000000-0000-0000-0000-000000000000', '', '2025-06-01', 0.02),
    ('00000000-0000-0000-0000-000000000000', 'gpt', '2025-03-01', 0.03),
    ('00000000-0000-0000-0000-000000000001', '', '2025-02-01', 0.04),
    ('00000000-0000-0000-0000-000000000001', 'gpt', '2025-07-01', 0.05);
SELECT right(w::text, 1) AS w, m, t, (analytics.credit_price(w, m, t)).*
FROM (VALUES (uuid '00000000-0000-0000-0000-000000000001'), ('00000000-0000-0000-0000-000000000002'), (NULL)) AS a (w),
     (VALUES ('gpt'), ('other'), (NULL)) AS b (m),
     (VALUES (DATE '2025-01-01'), ('2025-03-01'), ('2025-07-01')) AS c (t)
ORDER BY 1, 2, 3;

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
TRUNCATE analytics.credit_prices;
SELECT price IS NULL AND currency IS NULL AS unknown FROM analytics.credit_price(NULL, NULL, now());
