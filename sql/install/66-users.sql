-- users: reading the sets of active users.

CREATE FUNCTION analytics_internal.number_users(positions analytics.user_set, user_numbers bigint[])
RETURNS analytics.user_set
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_number_users';
REVOKE EXECUTE ON FUNCTION analytics_internal.number_users(analytics.user_set, bigint[]) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.number_users(analytics.user_set, bigint[]) IS
    'the user numbers at the given positions (from 0) of an array';
