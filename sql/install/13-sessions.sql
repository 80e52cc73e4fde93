-- Sessions by inactivity, as an aggregate over timestamps.

CREATE TYPE analytics.session_totals AS (
    sessions bigint,
    single_event_sessions bigint,
    events bigint,
    total_duration interval
);
COMMENT ON TYPE analytics.session_totals IS
    'what analytics.session_summary says of a group of events; all columns may be summed over groups';
COMMENT ON COLUMN analytics.session_totals.sessions IS 'number of sessions';
COMMENT ON COLUMN analytics.session_totals.single_event_sessions IS
    'sessions of one event; divided by sessions this is the bounce rate';
COMMENT ON COLUMN analytics.session_totals.events IS 'number of events';
COMMENT ON COLUMN analytics.session_totals.total_duration IS
    'sum over the sessions of last minus first event, in hours and less. Divided by sessions this is the mean duration';

CREATE FUNCTION analytics_internal.session_summary_accum(state internal, at timestamptz)
RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_session_summary_accum';
COMMENT ON FUNCTION analytics_internal.session_summary_accum(internal, timestamptz) IS
    'adds an event; support of the aggregate session_summary(timestamptz)';

CREATE FUNCTION analytics_internal.session_summary_accum(state internal, at timestamptz, gap interval)
RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_session_summary_accum';
COMMENT ON FUNCTION analytics_internal.session_summary_accum(internal, timestamptz, interval) IS
    'adds an event; support of the aggregate session_summary(timestamptz, interval)';

CREATE FUNCTION analytics_internal.session_summary_combine(state internal, other internal)
RETURNS internal
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_session_summary_combine';
COMMENT ON FUNCTION analytics_internal.session_summary_combine(internal, internal) IS
    'merges two sets of sessions; support of the aggregates session_summary';

CREATE FUNCTION analytics_internal.session_summary_serialize(state internal)
RETURNS bytea
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_session_summary_serialize';
COMMENT ON FUNCTION analytics_internal.session_summary_serialize(internal) IS
    'a set of sessions as bytes, for parallel plans; support of the aggregates session_summary';

CREATE FUNCTION analytics_internal.session_summary_deserialize(bytes bytea, state internal)
RETURNS internal
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_session_summary_deserialize';
COMMENT ON FUNCTION analytics_internal.session_summary_deserialize(bytea, internal) IS
    'a set of sessions from bytes, for parallel plans; support of the aggregates session_summary';

CREATE FUNCTION analytics_internal.session_summary_final(state internal)
RETURNS analytics.session_totals
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_session_summary_final';
COMMENT ON FUNCTION analytics_internal.session_summary_final(internal) IS
    'counts the sessions of a set; support of the aggregates session_summary';

CREATE AGGREGATE analytics.session_summary(at timestamptz) (
    SFUNC = analytics_internal.session_summary_accum,
    STYPE = internal,
    SSPACE = 300,
    COMBINEFUNC = analytics_internal.session_summary_combine,
    SERIALFUNC = analytics_internal.session_summary_serialize,
    DESERIALFUNC = analytics_internal.session_summary_deserialize,
    FINALFUNC = analytics_internal.session_summary_final,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.session_summary(timestamptz) IS
    'sessions by inactivity of 30 minutes; otherwise as session_summary(timestamptz, interval)';

CREATE AGGREGATE analytics.session_summary(at timestamptz, gap interval) (
    SFUNC = analytics_internal.session_summary_accum,
    STYPE = internal,
    SSPACE = 300,
    COMBINEFUNC = analytics_internal.session_summary_combine,
    SERIALFUNC = analytics_internal.session_summary_serialize,
    DESERIALFUNC = analytics_internal.session_summary_deserialize,
    FINALFUNC = analytics_internal.session_summary_final,
    PARALLEL = SAFE
);
COMMENT ON AGGREGATE analytics.session_summary(timestamptz, interval) IS
    'sessions by inactivity of the events at these times, usually grouped by user: a pause of the gap or more '
    'starts a new session. The order of rows does not matter; several events at one time are several events of one '
    'session. gap: positive, without months, a day being 24 hours, the same for all rows of a group, else an error '
    '(22023). NULL times are left out, infinite ones are an error (22023); without events all columns are 0';
