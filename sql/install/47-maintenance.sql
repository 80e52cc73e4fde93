CREATE TABLE analytics.job_runs (
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    step text NOT NULL,
    finished_at timestamptz,
    outcome text NOT NULL DEFAULT 'running',
    rows bigint NOT NULL DEFAULT 0,
    done bigint NOT NULL DEFAULT 0,
    total bigint,
    first_day date,
    last_day date,
    event_changes numeric,
    kept_unaggregated boolean NOT NULL DEFAULT false,
    detail text,
    error text,
    pid integer NOT NULL DEFAULT pg_backend_pid(),
    PRIMARY KEY (started_at, step),
    CONSTRAINT job_runs_outcome CHECK (outcome IN ('running', 'done', 'partial', 'failed', 'interrupted'))
);
CREATE INDEX job_runs_step ON analytics.job_runs (step, started_at);
COMMENT ON INDEX analytics.job_runs_step IS
    'serves: the last run of a step';
CREATE INDEX job_runs_running ON analytics.job_runs (step) WHERE outcome = 'running';
COMMENT ON INDEX analytics.job_runs_running IS
    'serves: analytics.job_progress, and runs that were killed';
ALTER TABLE analytics.job_runs ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.job_runs', '');
COMMENT ON TABLE analytics.job_runs IS
    'what analytics.maintain() and analytics.backfill() did; steps that are always due and found nothing to do are not kept';
COMMENT ON COLUMN analytics.job_runs.started_at IS 'by the clock';
COMMENT ON COLUMN analytics.job_runs.step IS 'maintain (the whole run), one of its steps, or backfill';
COMMENT ON COLUMN analytics.job_runs.finished_at IS 'by the clock; NULL while running';
COMMENT ON COLUMN analytics.job_runs.outcome IS
    'running; done; partial: the time budget was used up, the next run goes on, or (error) days of single workspaces were set aside in analytics.failed_days; failed: see error; interrupted: cancelled or killed';
COMMENT ON COLUMN analytics.job_runs.rows IS 'what the step counts: partitions, hours, days, rollups, rows removed, alerts';
COMMENT ON COLUMN analytics.job_runs.done IS 'units committed so far';
COMMENT ON COLUMN analytics.job_runs.total IS 'units there were to do at the last count; NULL: not counted';
COMMENT ON COLUMN analytics.job_runs.first_day IS 'backfill: first day of the range; aggregate_open: first UTC day whose changes event_changes counts; else NULL';
COMMENT ON COLUMN analytics.job_runs.last_day IS 'backfill: last day of the range; else NULL';
COMMENT ON COLUMN analytics.job_runs.event_changes IS
    'aggregate_open: changes of events of first_day and later that it has seen, by the statistics; while they do not grow it has nothing to do. NULL: another step, or not counted (track_counts is off)';
COMMENT ON COLUMN analytics.job_runs.kept_unaggregated IS
    'cleanup: events past their retention were kept, as rollups of theirs could not be made';
COMMENT ON COLUMN analytics.job_runs.detail IS 'what the step has to say, for people';
COMMENT ON COLUMN analytics.job_runs.error IS 'SQLSTATE and message; of a partial run those of the first day set aside';
COMMENT ON COLUMN analytics.job_runs.pid IS 'server process';
COMMENT ON CONSTRAINT job_runs_outcome ON analytics.job_runs IS 'how a run may end';
