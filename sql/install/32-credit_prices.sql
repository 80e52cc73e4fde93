-- Prices: what a credit or a token costs, for whom, for which model and since when.

CREATE FUNCTION analytics_internal.touch_updated_at() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.updated_at := CASE WHEN NEW IS DISTINCT FROM OLD THEN now() ELSE OLD.updated_at END;
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.touch_updated_at() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.touch_updated_at() IS
    'row trigger: updated_at is when a value of the row last changed';

CREATE TABLE analytics.credit_prices (
    workspace_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    model text NOT NULL DEFAULT '',
    price numeric NOT NULL,
    currency text NOT NULL DEFAULT analytics.setting('currency'),
    valid_from timestamptz NOT NULL DEFAULT '-infinity',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, model, valid_from),
    CONSTRAINT credit_prices_price CHECK (price >= 0 AND price < 1000000000 AND scale(price) <= 9),
    CONSTRAINT credit_prices_currency CHECK (currency ~ '^[A-Z]{3}$')
);
COMMENT ON TABLE analytics.credit_prices IS
    'prices of credits; the most specific one in force wins: workspace and model, workspace, model, all';
COMMENT ON COLUMN analytics.credit_prices.workspace_id IS
    'workspace the price is for; the nil uuid means every workspace';
COMMENT ON COLUMN analytics.credit_prices.model IS
    'model the price is for; empty means every model';
COMMENT ON COLUMN analytics.credit_prices.price IS
    'price of one credit, 0 to less than 1000000000, at most 9 decimals';
COMMENT ON COLUMN analytics.credit_prices.currency IS
    'ISO 4217 code';
COMMENT ON COLUMN analytics.credit_prices.valid_from IS
    'first instant at which the price is in force, until the next row of the same workspace and model';
COMMENT ON COLUMN analytics.credit_prices.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.credit_prices.updated_at IS
    'when a value of the row last changed';
COMMENT ON INDEX analytics.credit_prices_pkey IS
    'serves: the price in force of a workspace and model, WHERE workspace_id = ... AND model = ... AND valid_from <= ...';
COMMENT ON CONSTRAINT credit_prices_price ON analytics.credit_prices IS
    'prices are exact to 9 decimals, as credits are';
COMMENT ON CONSTRAINT credit_prices_currency ON analytics.credit_prices IS
    'three capital letters';
ALTER TABLE analytics.credit_prices ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.credit_prices', '');

CREATE POLICY member_reads ON analytics.credit_prices FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.credit_prices IS
    'members read their workspaces'' own prices';

CREATE TABLE analytics.token_prices (
    workspace_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    model text NOT NULL DEFAULT '',
    input_price numeric NOT NULL,
    output_price numeric NOT NULL,
    cache_read_price numeric,
    cache_write_price numeric,
    currency text NOT NULL DEFAULT analytics.setting('currency'),
    valid_from timestamptz NOT NULL DEFAULT '-infinity',
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, model, valid_from),
    CONSTRAINT token_prices_price CHECK (
        least(input_price, output_price, cache_read_price, cache_write_price) >= 0
        AND greatest(input_price, output_price, cache_read_price, cache_write_price) < 1000000000
        AND greatest(scale(input_price), scale(output_price), scale(cache_read_price), scale(cache_write_price)) <= 9),
    CONSTRAINT token_prices_currency CHECK (currency ~ '^[A-Z]{3}$')
);
COMMENT ON TABLE analytics.token_prices IS
    'prices of a million tokens, for runs that state neither a cost nor credits with a price. The most specific one in force wins, as in analytics.credit_prices';
COMMENT ON COLUMN analytics.token_prices.workspace_id IS
    'workspace the price is for; the nil uuid means every workspace';
COMMENT ON COLUMN analytics.token_prices.model IS
    'model the price is for; empty means every model';
COMMENT ON COLUMN analytics.token_prices.input_price IS
    'price of a million input tokens that are not from a cache. From 0 to less than 1000000000, at most 9 decimals';
COMMENT ON COLUMN analytics.token_prices.output_price IS
    'price of a million output tokens';
COMMENT ON COLUMN analytics.token_prices.cache_read_price IS
    'price of a million tokens read from a cache; NULL: that of input';
COMMENT ON COLUMN analytics.token_prices.cache_write_price IS
    'price of a million tokens written to a cache; NULL: that of input';
COMMENT ON COLUMN analytics.token_prices.currency IS
    'ISO 4217 code';
COMMENT ON COLUMN analytics.token_prices.valid_from IS
    'first instant at which the price is in force, until the next row of the same workspace and model';
COMMENT ON COLUMN analytics.token_prices.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.token_prices.updated_at IS
    'when a value of the row last changed';
COMMENT ON INDEX analytics.token_prices_pkey IS
    'serves: the price in force of a workspace and model, WHERE workspace_id = ... AND model = ... AND valid_from <= ...';
COMMENT ON CONSTRAINT token_prices_price ON analytics.token_prices IS
    'prices are exact to 9 decimals';
COMMENT ON CONSTRAINT token_prices_currency ON analytics.token_prices IS
    'three capital letters';
ALTER TABLE analytics.token_prices ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.token_prices', '');

CREATE POLICY member_reads ON analytics.token_prices FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.token_prices IS
    'members read their workspaces'' own prices';

-- A day is computed again by an entry for one of its hours. Days whose events are gone stay as they are.
CREATE FUNCTION analytics_internal.invalidate_priced_days(priced_workspace_id uuid, model text, from_time timestamptz, to_time timestamptz)
RETURNS void
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO analytics.dirty_hours (workspace_id, metric_hour)
    SELECT d.workspace_id, date_trunc('hour', b.day_start, 'UTC')
    FROM analytics.daily_metrics AS d
    CROSS JOIN analytics.watermark AS w
    CROSS JOIN LATERAL analytics_internal.workspace_day_bounds(d.workspace_id, d.metric_date) AS b
    WHERE priced_workspace_id IN (d.workspace_id, '00000000-0000-0000-0000-000000000000')
      AND d.metric_date BETWEEN from_time::date - 2 AND to_time::date + 2
      AND (d.total_credits_consumed > 0 OR d.total_tokens_used > 0)
      AND (invalidate_priced_days.model = '' OR (d.credits_by_model || d.tokens_by_model) ?| ARRAY[invalidate_priced_days.model, 'other'])
      AND b.day_start < to_time AND b.day_end > from_time AND b.day_start < w.marked_until;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.invalidate_priced_days(uuid, text, timestamptz, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.invalidate_priced_days(uuid, text, timestamptz, timestamptz) IS
    'has the closed days computed again on which a price was or comes into force. The nil uuid means every workspace, an empty model every model';

CREATE FUNCTION analytics_internal.prices_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        PERFORM analytics_internal.invalidate_priced_days('00000000-0000-0000-0000-000000000000', '', '-infinity', 'infinity');
        RETURN NULL;
    END IF;
    PERFORM analytics_internal.invalidate_priced_days(c.workspace_id, c.model, min(c.valid_from), max(c.valid_to))
    FROM (SELECT n.workspace_id, n.model, n.valid_from,
                 coalesce((SELECT min(p.valid_from)
                           FROM (SELECT p.workspace_id, p.model, p.valid_from FROM analytics.credit_prices AS p
                                 WHERE TG_RELID = 'analytics.credit_prices'::regclass
                                 UNION ALL
                                 SELECT p.workspace_id, p.model, p.valid_from FROM analytics.token_prices AS p
                                 WHERE TG_RELID = 'analytics.token_prices'::regclass) AS p
                           WHERE p.workspace_id = n.workspace_id AND p.model = n.model AND p.valid_from > n.valid_from),
                          'infinity') AS valid_to
          FROM changed AS n) AS c
    GROUP BY c.workspace_id, c.model;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.prices_changed() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.prices_changed() IS
    'statement trigger: has the days computed again on which a changed price was or comes into force';

-- Whoever aggregates at this moment has not seen the price, and its rollups are not seen here: one waits for the
-- other. Before the rows are touched, as every lock of ours.
CREATE FUNCTION analytics_internal.await_rollups() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT LIKE 'read %' THEN
        RAISE EXCEPTION 'prices cannot be changed in a transaction that is %', upper(current_setting('transaction_isolation'))
            USING ERRCODE = 'invalid_transaction_state',
                  DETAIL = 'It does not see what was aggregated since its snapshot, so days would keep the old price.',
                  HINT = 'Change prices in a transaction of their own: BEGIN ISOLATION LEVEL READ COMMITTED.';
    ELSIF TG_OP <> 'TRUNCATE' THEN
        PERFORM analytics_internal.lock('rollups');
    ELSIF NOT analytics_internal.try_lock('rollups') THEN -- which reads the table that is locked already
        RAISE EXCEPTION 'lock "rollups" is in use'
            USING ERRCODE = 'lock_not_available',
                  DETAIL = 'Rollups are being written, by the prices in the table.',
                  HINT = format('Try again, or DELETE FROM %I.%I, which waits.', TG_TABLE_SCHEMA, TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.await_rollups() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.await_rollups() IS
    'statement trigger: waits until nobody writes rollups, so that a day has the price or is computed again. An error in REPEATABLE READ (25000), and for TRUNCATE while the lock is in use (55P03)';

-- What is restored was noted before.
DO $$
DECLARE
    table_name text;
    name text;
    event text;
    comment text;
BEGIN
    FOREACH table_name IN ARRAY '{credit_prices,token_prices}'::text[] LOOP
        EXECUTE format('CREATE TRIGGER await_rollups BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON analytics.%I
                            FOR EACH STATEMENT WHEN (NOT analytics_internal.is_taken_as_is(%L))
                            EXECUTE FUNCTION analytics_internal.await_rollups()', table_name, table_name);
        EXECUTE format('COMMENT ON TRIGGER await_rollups ON analytics.%I IS %L', table_name,
                       'who aggregates has seen the price, or is seen by the triggers that have days computed again');
        EXECUTE format('CREATE TRIGGER touch_updated_at BEFORE UPDATE ON analytics.%I
                            FOR EACH ROW EXECUTE FUNCTION analytics_internal.touch_updated_at()', table_name);
        EXECUTE format('COMMENT ON TRIGGER touch_updated_at ON analytics.%I IS %L', table_name, 'keeps updated_at');
        FOR name, event, comment IN
            VALUES ('price_entered', format('INSERT ON analytics.%I REFERENCING NEW TABLE AS changed FOR EACH STATEMENT WHEN (NOT analytics_internal.is_taken_as_is(%L))', table_name, table_name),
                    'a price that is entered later has its days computed again'),
                   ('price_replaced', format('UPDATE ON analytics.%I REFERENCING OLD TABLE AS changed FOR EACH STATEMENT', table_name),
                    'a price that is changed has the days computed again on which it was in force'),
                   ('price_updated', format('UPDATE ON analytics.%I REFERENCING NEW TABLE AS changed FOR EACH STATEMENT', table_name),
                    'a price that is changed has the days computed again on which it comes into force'),
                   ('price_deleted', format('DELETE ON analytics.%I REFERENCING OLD TABLE AS changed FOR EACH STATEMENT', table_name),
                    'a price that is deleted has the days computed again on which it was in force'),
                   ('prices_truncated', format('TRUNCATE ON analytics.%I FOR EACH STATEMENT', table_name),
                    'where all prices go, all days that may have had one are computed again')
        LOOP
            EXECUTE format('CREATE TRIGGER %I AFTER %s EXECUTE FUNCTION analytics_internal.prices_changed()', name, event);
            EXECUTE format('COMMENT ON TRIGGER %I ON analytics.%I IS %L', name, table_name, comment);
        END LOOP;
    END LOOP;
END
$$;
