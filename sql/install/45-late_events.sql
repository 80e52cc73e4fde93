-- Until when rollups are final, and what changed before that.

CREATE TABLE analytics.watermark (
    id smallint PRIMARY KEY DEFAULT 1,
    marked_until timestamptz NOT NULL, -- the library reads this column by its place
    marked_by xid8 NOT NULL DEFAULT pg_current_xact_id(),
    closing_xid xid8,
    closed_until timestamptz NOT NULL DEFAULT '-infinity',
    CONSTRAINT watermark_one_row CHECK (id = 1),
    CONSTRAINT watermark_order CHECK (closed_until <= marked_until)
);
ALTER TABLE analytics.watermark ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.watermark', '');
COMMENT ON TABLE analytics.watermark IS
    'one row, from the first maintenance on: how far rollups are final. Delete it to have everything aggregated again';
COMMENT ON COLUMN analytics.watermark.id IS 'always 1';
COMMENT ON CONSTRAINT watermark_one_row ON analytics.watermark IS 'there is one watermark';
COMMENT ON CONSTRAINT watermark_order ON analytics.watermark IS 'what is closed was marked before';
COMMENT ON COLUMN analytics.watermark.marked_until IS
    'changes of events before this instant are noted in analytics.dirty_hours';
COMMENT ON COLUMN analytics.watermark.marked_by IS
    'transaction that moved marked_until; the next phase must be another one';
COMMENT ON COLUMN analytics.watermark.closing_xid IS
    'taken after the mark was committed: when all older transactions are over, everything before marked_until is visible or noted. NULL: not taken yet';
COMMENT ON COLUMN analytics.watermark.closed_until IS
    'hours and local days that ended by this instant are aggregated for good, but for those in analytics.dirty_hours';

-- Append-only, so that no writer ever waits for another or for the repair.
CREATE TABLE analytics.dirty_hours (
    workspace_id uuid NOT NULL,
    metric_hour timestamptz NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    PRIMARY KEY (workspace_id, metric_hour, id)
);
CREATE INDEX dirty_hours_metric_hour ON analytics.dirty_hours (metric_hour);
COMMENT ON INDEX analytics.dirty_hours_metric_hour IS
    'serves: the newest dirty hour, ORDER BY metric_hour DESC LIMIT 1, and those of one day';
ALTER TABLE analytics.dirty_hours ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.dirty_hours', '');
COMMENT ON TABLE analytics.dirty_hours IS
    'hours whose events were changed after they were marked as closed; their rollups are to be computed again. An hour may stand here several times';
COMMENT ON COLUMN analytics.dirty_hours.workspace_id IS 'workspace of the changed event';
COMMENT ON COLUMN analytics.dirty_hours.metric_hour IS 'start of the UTC hour of the changed event';
COMMENT ON COLUMN analytics.dirty_hours.id IS 'makes the entry unique without a sequence';

CREATE TABLE analytics.failed_days (
    workspace_id uuid NOT NULL,
    metric_date date NOT NULL,
    day_start timestamptz NOT NULL,
    day_end timestamptz NOT NULL,
    error text NOT NULL,
    attempts integer NOT NULL DEFAULT 1,
    first_failed_at timestamptz NOT NULL DEFAULT now(),
    last_failed_at timestamptz NOT NULL DEFAULT now(),
    next_attempt_at timestamptz NOT NULL,
    PRIMARY KEY (workspace_id, metric_date)
);
ALTER TABLE analytics.failed_days ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.failed_days', '');
COMMENT ON TABLE analytics.failed_days IS
    'local days of workspaces that could not be aggregated: set aside, so that nobody else waits for them, and tried again after a minute, two, four and so on up to a day. analytics.retry_failed_days() has them tried at once';
COMMENT ON COLUMN analytics.failed_days.workspace_id IS 'workspace';
COMMENT ON COLUMN analytics.failed_days.metric_date IS 'local day of the workspace; the day itself or one of its hours failed';
COMMENT ON COLUMN analytics.failed_days.day_start IS 'start of that day';
COMMENT ON COLUMN analytics.failed_days.day_end IS 'end of that day';
COMMENT ON COLUMN analytics.failed_days.error IS 'SQLSTATE and message of the last attempt';
COMMENT ON COLUMN analytics.failed_days.attempts IS 'attempts that failed';
COMMENT ON COLUMN analytics.failed_days.first_failed_at IS 'first of them';
COMMENT ON COLUMN analytics.failed_days.last_failed_at IS 'last of them';
COMMENT ON COLUMN analytics.failed_days.next_attempt_at IS 'not tried again before';

CREATE TABLE analytics.stale_totals (
    workspace_id uuid PRIMARY KEY,
    from_date date NOT NULL
);
ALTER TABLE analytics.stale_totals ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.stale_totals', '');
COMMENT ON TABLE analytics.stale_totals IS
    'workspaces whose users changed on a day while earlier days wait for repair: new_users, returning_users and total_users of later days are brought up to date once, when those are repaired';
COMMENT ON COLUMN analytics.stale_totals.workspace_id IS 'workspace';
COMMENT ON COLUMN analytics.stale_totals.from_date IS 'the local day; those after it are stale';

CREATE TABLE analytics.closed_days (
    workspace_id uuid NOT NULL,
    event_day date NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (workspace_id, event_day)
);
ALTER TABLE analytics.closed_days ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.closed_days', '');
CREATE INDEX closed_days_event_day ON analytics.closed_days (event_day);
COMMENT ON INDEX analytics.closed_days_event_day IS
    'serves: the events of an expired day, WHERE event_day = ...';
COMMENT ON TABLE analytics.closed_days IS
    'events of each workspace and UTC day, counted when the day was closed and again when it was repaired, so that cleanup need not count what it drops';
COMMENT ON COLUMN analytics.closed_days.workspace_id IS 'workspace';
COMMENT ON COLUMN analytics.closed_days.event_day IS 'UTC day';
COMMENT ON COLUMN analytics.closed_days.events IS 'its events in analytics.user_activity';

CREATE TABLE analytics.sealed_days (
    workspace_id uuid NOT NULL,
    event_day date NOT NULL,
    events bigint NOT NULL,
    sealed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, event_day)
);
ALTER TABLE analytics.sealed_days ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.sealed_days', '');
CREATE INDEX sealed_days_event_day ON analytics.sealed_days (event_day);
COMMENT ON INDEX analytics.sealed_days_event_day IS
    'serves: is a bucket sealed for any workspace, WHERE event_day BETWEEN ... AND ...';
COMMENT ON TABLE analytics.sealed_days IS
    'days from which retention removed events: their rollups can no longer be computed and are not overwritten';
COMMENT ON COLUMN analytics.sealed_days.workspace_id IS 'workspace';
COMMENT ON COLUMN analytics.sealed_days.event_day IS 'UTC day';
COMMENT ON COLUMN analytics.sealed_days.events IS 'events of the workspace that were removed from the day';
COMMENT ON COLUMN analytics.sealed_days.sealed_at IS 'when';
