-- DROP EXTENSION: nothing is lost without CASCADE, and nothing is left that would fail afterwards.

CREATE FUNCTION analytics_internal.count_up_to(query text, most bigint) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counted bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM (SELECT FROM %s LIMIT %s) AS r', query, most) INTO counted;
    RETURN nullif(counted || CASE WHEN counted = most THEN ' or more' ELSE '' END, '0');
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.count_up_to(text, bigint) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.count_up_to(text, bigint) IS
    'how many rows a relation has, as text, counting no further than most; NULL: none';

CREATE FUNCTION analytics_internal.refuse_removal_of_data() RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    counts text := (SELECT string_agg(format('%s in %s', c.counted, r.relation), ', ' ORDER BY r.place)
                    FROM unnest('{analytics.user_activity,analytics.hourly_metrics,analytics.daily_metrics,analytics.agent_performance}'::text[])
                             WITH ORDINALITY AS r (relation, place),
                         LATERAL (SELECT analytics_internal.count_up_to(r.relation, 1000000)) AS c (counted)
                    WHERE c.counted IS NOT NULL);
BEGIN
    IF counts IS NOT NULL THEN
        RAISE EXCEPTION 'cannot drop extension shadow_analytics because it holds data'
            USING ERRCODE = 'dependent_objects_still_exist',
                  DETAIL = format('Rows: %s.', counts),
                  HINT = 'Back up what is to stay (pg_dump --schema=analytics), then DROP EXTENSION shadow_analytics CASCADE.';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.refuse_removal_of_data() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.refuse_removal_of_data() IS
    'an error (2BP01) with the numbers of rows while there are events or rollups';

CREATE FUNCTION analytics_internal.remove_cron_jobs() RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    removed bigint := 0;
BEGIN
    IF EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron') THEN
        EXECUTE 'SELECT count(cron.unschedule(j.jobid)) FROM cron.job AS j
                 WHERE j.database = current_database()
                   AND (j.jobname = ''shadow-analytics-maintain'' OR j.command COLLATE "C" ~* ''^[[:space:]]*(CALL|SELECT|SELECT [*] FROM)[[:space:]]+analytics[.][[:alnum:]_]+[[:space:]]*[(]'')'
        INTO removed;
    END IF;
    RETURN removed;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.remove_cron_jobs() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.remove_cron_jobs() IS
    'takes the jobs of this database that call functions of the schema analytics from pg_cron; how many';

CREATE FUNCTION analytics_internal.extension_removal() RETURNS event_trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'shadow_extension_removal';
REVOKE EXECUTE ON FUNCTION analytics_internal.extension_removal() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.extension_removal() IS
    'event trigger: DROP EXTENSION shadow_analytics is refused while there are data. With CASCADE it takes the jobs of pg_cron along';
CREATE EVENT TRIGGER shadow_analytics_removal ON ddl_command_start WHEN TAG IN ('DROP EXTENSION')
    EXECUTE FUNCTION analytics_internal.extension_removal();
COMMENT ON EVENT TRIGGER shadow_analytics_removal IS
    'refuses DROP EXTENSION shadow_analytics without CASCADE while there are events or rollups';
