-- Alerts: rules, what they have found, and what has to be told to whom.

CREATE TABLE analytics.alert_rules (
    workspace_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    name text NOT NULL,
    description text,
    is_active boolean NOT NULL DEFAULT true,
    scope text NOT NULL DEFAULT 'workspace',
    metric_type text NOT NULL,
    condition text NOT NULL,
    threshold_value numeric NOT NULL,
    threshold_max numeric,
    evaluation_window_minutes integer NOT NULL DEFAULT 5,
    for_minutes integer NOT NULL DEFAULT 0,
    cooldown_minutes integer NOT NULL DEFAULT 60,
    severity text NOT NULL DEFAULT 'warning',
    no_data text NOT NULL DEFAULT 'ok',
    notification_channels jsonb NOT NULL DEFAULT '[]',
    notification_recipients jsonb NOT NULL DEFAULT '[]',
    last_triggered_at timestamptz,
    trigger_count bigint NOT NULL DEFAULT 0,
    created_by uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, id)
);
ALTER TABLE analytics.alert_rules ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.alert_rules', '');
COMMENT ON TABLE analytics.alert_rules IS
    'what to watch: a metric over a window, a condition, whom to tell; evaluated by analytics.evaluate_alert_rules(). A change of metric, condition, thresholds, window, scope or workspace, and switching off, end an open episode';
COMMENT ON COLUMN analytics.alert_rules.workspace_id IS
    'workspace whose events are watched; the nil uuid: events without a workspace, or every workspace where scope = platform';
COMMENT ON COLUMN analytics.alert_rules.id IS
    'the rule';
COMMENT ON COLUMN analytics.alert_rules.name IS
    'name shown to people, 1 to 200 characters';
COMMENT ON COLUMN analytics.alert_rules.description IS
    'what it means and what to do about it';
COMMENT ON COLUMN analytics.alert_rules.is_active IS
    'false: not evaluated';
COMMENT ON COLUMN analytics.alert_rules.scope IS
    'workspace, or platform: all workspaces together, only with the nil workspace, so only for the service role';
COMMENT ON COLUMN analytics.alert_rules.metric_type IS
    'error_rate, failure_rate (percent), response_time (mean, ms), active_users, failed_runs, credits_consumed, agent_failures (agents with a failed run), user_signups (users whose first event this is), session_duration (mean, seconds)';
COMMENT ON COLUMN analytics.alert_rules.condition IS
    'greater_than, less_than, equals, not_equals (both after rounding to 2 decimals), between (inclusive, with threshold_max); anomaly, poisson (counts of users, runs and agents) and binomial (rates) score the last full hour against the same hour of earlier days';
COMMENT ON COLUMN analytics.alert_rules.threshold_value IS
    'bound in the metric''s unit; for anomaly the modified z-score above which it fires (default 3.5), for poisson and binomial the probability below which it fires';
COMMENT ON COLUMN analytics.alert_rules.threshold_max IS
    'upper bound of between; NULL for other conditions';
COMMENT ON COLUMN analytics.alert_rules.evaluation_window_minutes IS
    'length of the window before the evaluation, 1 to 1440 minutes; unused by anomaly, poisson and binomial';
COMMENT ON COLUMN analytics.alert_rules.for_minutes IS
    'how long the condition must hold before the rule fires, 0 to 1440 minutes; until then it is pending';
COMMENT ON COLUMN analytics.alert_rules.cooldown_minutes IS
    'after a notification no new episode is notified for so long, 0 to 10080 minutes; an episode that outlasts it is notified then';
COMMENT ON COLUMN analytics.alert_rules.severity IS
    'info, warning or critical';
COMMENT ON COLUMN analytics.alert_rules.no_data IS
    'what a window without data, or an hour that cannot be scored, means: ok, alert, or keep the state';
COMMENT ON COLUMN analytics.alert_rules.notification_channels IS
    'array of email, slack and webhook';
COMMENT ON COLUMN analytics.alert_rules.notification_recipients IS
    'array of names in analytics.notification_destinations of the same workspace, each of one of the channels';
COMMENT ON COLUMN analytics.alert_rules.last_triggered_at IS
    'start of the last episode';
COMMENT ON COLUMN analytics.alert_rules.trigger_count IS
    'episodes so far';
COMMENT ON COLUMN analytics.alert_rules.created_by IS
    'user who made the rule; any manager of the workspace may change it';
COMMENT ON COLUMN analytics.alert_rules.created_at IS
    'when the rule was made';
COMMENT ON COLUMN analytics.alert_rules.updated_at IS
    'when a user last changed it';
COMMENT ON INDEX analytics.alert_rules_pkey IS
    'serves: a workspace''s rules, WHERE workspace_id = ...';

CREATE TABLE analytics.alert_rule_states (
    workspace_id uuid NOT NULL,
    alert_rule_id uuid NOT NULL,
    state text NOT NULL,
    since timestamptz NOT NULL,
    alert_id uuid,
    last_notified_at timestamptz,
    PRIMARY KEY (workspace_id, alert_rule_id),
    CONSTRAINT alert_rule_states_state CHECK (state IN ('ok', 'pending', 'firing'))
);
ALTER TABLE analytics.alert_rule_states ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.alert_rule_states', '');
COMMENT ON TABLE analytics.alert_rule_states IS
    'where each rule stands; written by analytics.evaluate_alert_rules() when a state changes, no row: ok since ever';
COMMENT ON COLUMN analytics.alert_rule_states.workspace_id IS 'workspace of the rule';
COMMENT ON COLUMN analytics.alert_rule_states.alert_rule_id IS 'the rule';
COMMENT ON COLUMN analytics.alert_rule_states.state IS 'ok, pending or firing';
COMMENT ON COLUMN analytics.alert_rule_states.since IS 'when it entered the state';
COMMENT ON COLUMN analytics.alert_rule_states.alert_id IS 'the open episode while firing, else NULL';
COMMENT ON COLUMN analytics.alert_rule_states.last_notified_at IS 'last notification of an episode''s start; the cooldown counts from here';
COMMENT ON CONSTRAINT alert_rule_states_state ON analytics.alert_rule_states IS
    'the states of Prometheus; resolved is the step from firing to ok';

CREATE TABLE analytics.alert_history (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    alert_rule_id uuid NOT NULL,
    rule_name text NOT NULL,
    severity text NOT NULL,
    triggered_at timestamptz NOT NULL,
    resolved_at timestamptz,
    state text NOT NULL GENERATED ALWAYS AS (CASE WHEN resolved_at IS NULL THEN 'firing' ELSE 'resolved' END) STORED,
    metric_type text NOT NULL,
    condition text NOT NULL,
    metric_value numeric,
    threshold_value numeric,
    reason text NOT NULL,
    evaluation_context jsonb NOT NULL DEFAULT '{}',
    resolved_reason text,
    acknowledged_by uuid,
    acknowledged_at timestamptz,
    notes text,
    snoozed_until timestamptz,
    notified_at timestamptz,
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT alert_history_order CHECK (resolved_at >= triggered_at),
    CONSTRAINT alert_history_acknowledgment CHECK (acknowledged_by IS NULL OR acknowledged_at IS NOT NULL),
    CONSTRAINT alert_history_notes CHECK (length(notes) <= 10000)
);
ALTER TABLE analytics.alert_history ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.alert_history', '');
COMMENT ON TABLE analytics.alert_history IS
    'one row per episode: from the evaluation at which a rule fired to the one at which it resolved';
COMMENT ON COLUMN analytics.alert_history.workspace_id IS 'workspace of the rule';
COMMENT ON COLUMN analytics.alert_history.id IS 'the episode';
COMMENT ON COLUMN analytics.alert_history.alert_rule_id IS 'the rule, which may have been deleted since';
COMMENT ON COLUMN analytics.alert_history.rule_name IS 'name of the rule then';
COMMENT ON COLUMN analytics.alert_history.severity IS 'severity of the rule then';
COMMENT ON COLUMN analytics.alert_history.triggered_at IS 'evaluation at which it fired';
COMMENT ON COLUMN analytics.alert_history.resolved_at IS 'evaluation at which it resolved; NULL: still firing';
COMMENT ON COLUMN analytics.alert_history.state IS 'firing or resolved';
COMMENT ON COLUMN analytics.alert_history.metric_type IS 'metric of the rule then';
COMMENT ON COLUMN analytics.alert_history.condition IS 'condition of the rule then';
COMMENT ON COLUMN analytics.alert_history.metric_value IS 'value that made it fire, in the metric''s unit; NULL where missing data did';
COMMENT ON COLUMN analytics.alert_history.threshold_value IS 'threshold of the rule then';
COMMENT ON COLUMN analytics.alert_history.reason IS 'why it fired, for people';
COMMENT ON COLUMN analytics.alert_history.evaluation_context IS
    'what the window held: window_start, window_end, counts of events, users, runs and errors, the agents and error types with most failures, samples of errors (the latest different messages, redacted); for scores the baseline';
COMMENT ON COLUMN analytics.alert_history.resolved_reason IS 'why it resolved; NULL while firing';
COMMENT ON COLUMN analytics.alert_history.acknowledged_by IS
    'who has taken it up, always the one who writes; NULL: nobody. Setting it to NULL takes the acknowledgment back';
COMMENT ON COLUMN analytics.alert_history.acknowledged_at IS 'when it was taken up; says nothing about delivery';
COMMENT ON COLUMN analytics.alert_history.notes IS 'notes of people, at most 10,000 characters';
COMMENT ON COLUMN analytics.alert_history.snoozed_until IS 'no notification about the rule before this instant';
COMMENT ON COLUMN analytics.alert_history.notified_at IS
    'when its start was handed to the outbox; NULL: withheld so far by cooldown or snooze';
COMMENT ON CONSTRAINT alert_history_order ON analytics.alert_history IS 'an episode ends after it starts';
COMMENT ON CONSTRAINT alert_history_acknowledgment ON analytics.alert_history IS 'who and when go together';
COMMENT ON CONSTRAINT alert_history_notes ON analytics.alert_history IS 'notes are short';
COMMENT ON INDEX analytics.alert_history_pkey IS 'serves: one episode of a workspace';
CREATE UNIQUE INDEX alert_history_one_open ON analytics.alert_history (workspace_id, alert_rule_id) WHERE resolved_at IS NULL;
COMMENT ON INDEX analytics.alert_history_one_open IS
    'a rule has at most one open episode; serves: analytics.active_alerts';
CREATE INDEX alert_history_triggered ON analytics.alert_history (workspace_id, triggered_at);
COMMENT ON INDEX analytics.alert_history_triggered IS
    'serves: a workspace''s episodes by time, and their removal by age';
CREATE INDEX alert_history_snoozed ON analytics.alert_history (workspace_id, alert_rule_id, snoozed_until) WHERE snoozed_until IS NOT NULL;
COMMENT ON INDEX analytics.alert_history_snoozed IS
    'serves: is the rule snoozed, asked when a notification is due';

CREATE TABLE analytics.notification_destinations (
    workspace_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    name text NOT NULL,
    channel text NOT NULL,
    address text NOT NULL,
    signing_secret text,
    is_verified boolean NOT NULL DEFAULT false,
    verification_hash bytea,
    verification_expires_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace_id, name),
    CONSTRAINT notification_destinations_channel CHECK (channel IN ('email', 'slack', 'webhook')),
    CONSTRAINT notification_destinations_name CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}$')
);
ALTER TABLE analytics.notification_destinations ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.notification_destinations', '');
COMMENT ON TABLE analytics.notification_destinations IS
    'where notifications go, by name; addresses and secrets are never readable through the API, see analytics.notification_destination_list';
COMMENT ON COLUMN analytics.notification_destinations.workspace_id IS 'workspace that may use it';
COMMENT ON COLUMN analytics.notification_destinations.name IS 'name that rules refer to';
COMMENT ON COLUMN analytics.notification_destinations.channel IS 'email, slack (incoming webhook) or webhook';
COMMENT ON COLUMN analytics.notification_destinations.address IS 'mail address, or URL beginning with https://; secret';
COMMENT ON COLUMN analytics.notification_destinations.signing_secret IS 'key of the HMAC-SHA-256 signature of a webhook; secret';
COMMENT ON COLUMN analytics.notification_destinations.is_verified IS 'false: nothing but the verification code is sent there';
COMMENT ON COLUMN analytics.notification_destinations.verification_hash IS 'SHA-256 of the code that was sent; NULL: none is open';
COMMENT ON COLUMN analytics.notification_destinations.verification_expires_at IS 'until when the code is good';
COMMENT ON COLUMN analytics.notification_destinations.created_at IS 'when it was made';
COMMENT ON COLUMN analytics.notification_destinations.updated_at IS 'when it last changed';
COMMENT ON CONSTRAINT notification_destinations_channel ON analytics.notification_destinations IS 'the channels that the notifier serves';
COMMENT ON CONSTRAINT notification_destinations_name ON analytics.notification_destinations IS
    'a short name, so that nobody uses the address itself';
COMMENT ON INDEX analytics.notification_destinations_pkey IS 'serves: a rule''s recipients, WHERE workspace_id = ... AND name = ...';

CREATE TABLE analytics.notification_outbox (
    workspace_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    kind text NOT NULL,
    alert_id uuid,
    alert_rule_id uuid,
    destination_name text NOT NULL,
    channel text NOT NULL,
    message jsonb NOT NULL,
    status text NOT NULL DEFAULT 'waiting',
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT now(),
    leased_by text,
    leased_until timestamptz,
    last_error text,
    response_status integer,
    latency_ms bigint,
    created_at timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    PRIMARY KEY (workspace_id, id),
    CONSTRAINT notification_outbox_once UNIQUE (workspace_id, alert_id, kind, destination_name),
    CONSTRAINT notification_outbox_kind CHECK (kind IN ('firing', 'resolved', 'verification')),
    CONSTRAINT notification_outbox_status CHECK (status IN ('waiting', 'sending', 'delivered', 'dead', 'suppressed'))
);
ALTER TABLE analytics.notification_outbox ENABLE ROW LEVEL SECURITY;
SELECT pg_catalog.pg_extension_config_dump('analytics.notification_outbox', '');
COMMENT ON TABLE analytics.notification_outbox IS
    'messages to be delivered by shadow-analytics-notifier, written in the transaction of the episode; delivered at least once';
COMMENT ON COLUMN analytics.notification_outbox.workspace_id IS 'workspace of the message';
COMMENT ON COLUMN analytics.notification_outbox.id IS 'the message; sent along as its idempotency key, the same at every attempt';
COMMENT ON COLUMN analytics.notification_outbox.kind IS 'firing, resolved or verification';
COMMENT ON COLUMN analytics.notification_outbox.alert_id IS 'the episode; NULL for verification';
COMMENT ON COLUMN analytics.notification_outbox.alert_rule_id IS 'the rule; NULL for verification';
COMMENT ON COLUMN analytics.notification_outbox.destination_name IS 'name in analytics.notification_destinations';
COMMENT ON COLUMN analytics.notification_outbox.channel IS 'channel of the destination then';
COMMENT ON COLUMN analytics.notification_outbox.message IS 'what to say, without address or secret';
COMMENT ON COLUMN analytics.notification_outbox.status IS
    'waiting, sending (leased), delivered, dead (given up), suppressed (over the workspace''s hourly budget)';
COMMENT ON COLUMN analytics.notification_outbox.attempts IS 'deliveries tried so far';
COMMENT ON COLUMN analytics.notification_outbox.next_attempt_at IS 'not to be tried before; grows exponentially with jitter';
COMMENT ON COLUMN analytics.notification_outbox.leased_by IS 'notifier that is sending it';
COMMENT ON COLUMN analytics.notification_outbox.leased_until IS 'after this instant another notifier may take it';
COMMENT ON COLUMN analytics.notification_outbox.last_error IS 'what the last attempt failed with, without address';
COMMENT ON COLUMN analytics.notification_outbox.response_status IS 'HTTP or SMTP status of the last attempt';
COMMENT ON COLUMN analytics.notification_outbox.latency_ms IS 'duration of the last attempt';
COMMENT ON COLUMN analytics.notification_outbox.created_at IS 'when it was written';
COMMENT ON COLUMN analytics.notification_outbox.delivered_at IS 'when the destination accepted it';
COMMENT ON CONSTRAINT notification_outbox_once ON analytics.notification_outbox IS
    'an episode''s start and end are told to a destination once';
COMMENT ON CONSTRAINT notification_outbox_kind ON analytics.notification_outbox IS 'the kinds of messages';
COMMENT ON CONSTRAINT notification_outbox_status ON analytics.notification_outbox IS 'the life of a message';
COMMENT ON INDEX analytics.notification_outbox_pkey IS 'serves: the notifier''s note of an outcome';
COMMENT ON INDEX analytics.notification_outbox_once IS 'serves: an episode''s messages, and that there is one of each';
CREATE INDEX notification_outbox_due ON analytics.notification_outbox (next_attempt_at) WHERE status IN ('waiting', 'sending');
COMMENT ON INDEX analytics.notification_outbox_due IS
    'serves: analytics_internal.claim_notifications(), the messages that are due';
CREATE INDEX notification_outbox_created ON analytics.notification_outbox (workspace_id, created_at);
COMMENT ON INDEX analytics.notification_outbox_created IS
    'serves: the workspace''s hourly budget, and removal by age';
