-- Users for ever: who was active when, in a few bytes per user and day, independent of the raw events' retention.

-- user_number is dense and small, so that a set of users is a few bytes per user. Updates of last_seen stay on the page.
CREATE TABLE analytics.users (
    workspace_id uuid NOT NULL,
    user_id uuid NOT NULL,
    user_number bigint NOT NULL,
    first_date date NOT NULL,
    last_date date NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    is_forgotten boolean NOT NULL DEFAULT false,
    PRIMARY KEY (workspace_id, user_id),
    CONSTRAINT users_user_number_key UNIQUE (workspace_id, user_number),
    CONSTRAINT users_user_number_check CHECK (user_number BETWEEN 0 AND 4294967295)
) WITH (fillfactor = 80);
COMMENT ON TABLE analytics.users IS
    'dictionary of a workspace''s users: written by analytics.aggregate_daily_metrics() and kept when the raw events go. A user whose last active day is aggregated again without him leaves it';
COMMENT ON COLUMN analytics.users.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.users.user_id IS
    'user, as in analytics.user_activity';
COMMENT ON COLUMN analytics.users.user_number IS
    'the user in the sets of this workspace (analytics.user_set): from 0, ascending in the order of first aggregation';
COMMENT ON COLUMN analytics.users.first_date IS
    'local day of the workspace on which the user was first active: the day of which he is a new user';
COMMENT ON COLUMN analytics.users.last_date IS
    'last local day of the workspace on which the user was active';
COMMENT ON COLUMN analytics.users.first_seen IS
    'first event; the start of first_date where that moved to a day whose raw events are gone';
COMMENT ON COLUMN analytics.users.last_seen IS
    'last event; the start of last_date where that moved to a day whose raw events are gone';
COMMENT ON COLUMN analytics.users.is_forgotten IS
    'whether user_id was replaced by a random one, by analytics.forget_user() or the retention of identities: the number and all counts stay';
COMMENT ON INDEX analytics.users_pkey IS
    'serves: the numbers of a day''s users while it is aggregated';
COMMENT ON INDEX analytics.users_user_number_key IS
    'serves: the next free number of a workspace, and the users of a set';
COMMENT ON CONSTRAINT users_user_number_check ON analytics.users IS
    'what analytics.user_set holds';

CREATE TABLE analytics.daily_users (
    workspace_id uuid NOT NULL,
    metric_date date NOT NULL,
    users analytics.user_set NOT NULL,
    new_users analytics.user_set NOT NULL,
    is_final boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, metric_date)
);
COMMENT ON TABLE analytics.daily_users IS
    'the active users of each workspace and local day as sets of user_number; a day without an event has no row';
COMMENT ON COLUMN analytics.daily_users.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.daily_users.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.daily_users.users IS
    'user_number of the users with at least one event of any type';
COMMENT ON COLUMN analytics.daily_users.new_users IS
    'those of them first seen on this day';
COMMENT ON COLUMN analytics.daily_users.is_final IS
    'false while the day is not over';
COMMENT ON COLUMN analytics.daily_users.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.daily_users.updated_at IS
    'when a value of the row last changed';
COMMENT ON INDEX analytics.daily_users_pkey IS
    'serves: a workspace''s days in order, analytics.get_active_users(), get_lifecycle(), cohorts';

CREATE TABLE analytics.daily_user_revenue (
    workspace_id uuid NOT NULL,
    metric_date date NOT NULL,
    user_number bigint NOT NULL,
    revenue numeric NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, metric_date, user_number)
);
COMMENT ON TABLE analytics.daily_user_revenue IS
    'revenue per user and local day where it is not zero; cohorts read it, never raw events';
COMMENT ON COLUMN analytics.daily_user_revenue.workspace_id IS
    'workspace; the nil uuid stands for events without one';
COMMENT ON COLUMN analytics.daily_user_revenue.metric_date IS
    'local day of the workspace';
COMMENT ON COLUMN analytics.daily_user_revenue.user_number IS
    'user, as in analytics.users';
COMMENT ON COLUMN analytics.daily_user_revenue.revenue IS
    'sum of the metadata key revenue of his events, signed, exact';
COMMENT ON COLUMN analytics.daily_user_revenue.created_at IS
    'when the row was first written';
COMMENT ON COLUMN analytics.daily_user_revenue.updated_at IS
    'when a value of the row last changed';
COMMENT ON INDEX analytics.daily_user_revenue_pkey IS
    'serves: the revenue of a workspace''s days in order, analytics.aggregate_user_cohorts()';

ALTER TABLE analytics.users ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics.daily_users ENABLE ROW LEVEL SECURITY;
ALTER TABLE analytics.daily_user_revenue ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.users', '');
SELECT pg_catalog.pg_extension_config_dump('analytics.daily_users', '');
SELECT pg_catalog.pg_extension_config_dump('analytics.daily_user_revenue', '');
