-- Credit prices: what a credit costs, for whom, for which model and since when.

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

CREATE FUNCTION analytics.credit_price(workspace_id uuid, model text, at timestamptz,
                                       OUT price numeric, OUT currency text)
RETURNS record
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT p.price, p.currency INTO credit_price.price, credit_price.currency
    FROM analytics.credit_prices AS p
    WHERE p.workspace_id IN (credit_price.workspace_id, '00000000-0000-0000-0000-000000000000')
      AND p.model IN (credit_price.model, '')
      AND p.valid_from <= at
    ORDER BY p.workspace_id <> '00000000-0000-0000-0000-000000000000' DESC, p.model <> '' DESC, p.valid_from DESC
    LIMIT 1;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.credit_price(uuid, text, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.credit_price(uuid, text, timestamptz) IS
    'price of a credit and its currency for a workspace and model at an instant; both NULL where no price is known. A NULL workspace or model finds the prices for all';
