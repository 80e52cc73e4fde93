-- A dump carries its partitions with it and turns row_security off: then none are made, or they would be in
-- the way of those to be restored.
DO $$
BEGIN
    IF current_setting('row_security')::boolean THEN
        PERFORM analytics_internal.create_default_partition();
        PERFORM analytics_internal.create_partitions((now() AT TIME ZONE 'UTC')::date - 1,
                                                     (now() AT TIME ZONE 'UTC')::date + 7);
    END IF;
END
$$;
