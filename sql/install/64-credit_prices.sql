ALTER TABLE analytics.credit_prices ALTER COLUMN currency SET DEFAULT analytics.setting('currency');

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
