-- Alerts: rules, what they have found, their evaluation and acknowledgment.

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
    evaluation_delay_minutes integer NOT NULL DEFAULT 0,
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
    'what to watch: a metric over a window, a condition, whom to tell. Evaluated by analytics.evaluate_alert_rules(). A change of metric, condition, thresholds, window, delay, scope or workspace, and switching off, end an open episode';
COMMENT ON COLUMN analytics.alert_rules.workspace_id IS
    'workspace whose events are watched. The nil uuid: events without a workspace, or every workspace where scope = platform';
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
    'bound in the metric''s unit. For anomaly the modified z-score above which it fires (default 3.5), for poisson and binomial the probability below which it fires';
COMMENT ON COLUMN analytics.alert_rules.threshold_max IS
    'upper bound of between; NULL for other conditions';
COMMENT ON COLUMN analytics.alert_rules.evaluation_window_minutes IS
    'length of the window, 1 to 1440 minutes; unused by anomaly, poisson and binomial';
COMMENT ON COLUMN analytics.alert_rules.evaluation_delay_minutes IS
    'how long before the evaluation the window ends, 0 to 60 minutes: for events that arrive late. Scores look at the last hour that is over by then';
COMMENT ON COLUMN analytics.alert_rules.for_minutes IS
    'how long the condition must hold before the rule fires, 0 to 1440 minutes; until then it is pending';
COMMENT ON COLUMN analytics.alert_rules.cooldown_minutes IS
    'after a notification no new episode is notified for so long, 0 to 10080 minutes. An episode that outlasts it is notified then';
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
    'where each rule stands. Written by analytics.evaluate_alert_rules() when a state changes, no row: ok since ever';
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
    'what the window held. window_start, window_end, counts of events, users, runs and errors, the agents and error types with most failures, samples of errors (the latest different messages, redacted); for scores the baseline';
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

CREATE POLICY member_reads ON analytics.alert_rules FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.alert_rules IS
    'members read their workspaces';
CREATE POLICY manager_inserts ON analytics.alert_rules FOR INSERT
    WITH CHECK (workspace_id = ANY (analytics_internal.managed_workspace_ids()));
COMMENT ON POLICY manager_inserts ON analytics.alert_rules IS
    'managers make rules for their workspaces';
CREATE POLICY manager_updates ON analytics.alert_rules FOR UPDATE
    USING (workspace_id = ANY (analytics_internal.managed_workspace_ids()))
    WITH CHECK (workspace_id = ANY (analytics_internal.managed_workspace_ids()));
COMMENT ON POLICY manager_updates ON analytics.alert_rules IS
    'managers change any rule of their workspaces, whoever made it';
CREATE POLICY manager_deletes ON analytics.alert_rules FOR DELETE
    USING (workspace_id = ANY (analytics_internal.managed_workspace_ids()));
COMMENT ON POLICY manager_deletes ON analytics.alert_rules IS
    'managers delete any rule of their workspaces';
CREATE POLICY member_reads ON analytics.alert_rule_states FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.alert_rule_states IS
    'members read their workspaces';
CREATE POLICY member_reads ON analytics.alert_history FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.alert_history IS
    'members read their workspaces';
CREATE POLICY member_updates ON analytics.alert_history FOR UPDATE
    USING (workspace_id = ANY (analytics.workspace_ids()))
    WITH CHECK (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_updates ON analytics.alert_history IS
    'members acknowledge, snooze and note; other columns are not granted';

CREATE FUNCTION analytics_internal.is_text_array(value jsonb, pattern text) RETURNS boolean
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN jsonb_typeof(value) = 'array' AND jsonb_array_length(value) <= 20
            THEN (SELECT coalesce(bool_and(jsonb_typeof(e.element) = 'string' AND e.element #>> '{}' ~ pattern)
                                  AND count(*) = count(DISTINCT e.element), true)
                  FROM jsonb_array_elements(value) AS e (element))
            ELSE false END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.is_text_array(jsonb, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.is_text_array(jsonb, text) IS
    'whether a value is an array of at most 20 different strings that match the pattern';

CREATE FUNCTION analytics_internal.threshold_problem(rule record) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN CASE
        WHEN rule.condition = 'anomaly' THEN
            CASE WHEN rule.threshold_value > 0 AND rule.threshold_value <= 1000 THEN NULL
                 ELSE 'a modified z-score, more than 0 and at most 1000; 3.5 is usual' END
        WHEN rule.condition IN ('poisson', 'binomial') THEN
            CASE WHEN rule.threshold_value > 0 AND rule.threshold_value < 1 AND scale(rule.threshold_value) <= 9 THEN NULL
                 ELSE 'a probability between 0 and 1, with at most 9 decimals' END
        WHEN rule.metric_type IN ('error_rate', 'failure_rate') THEN
            CASE WHEN rule.threshold_value BETWEEN 0 AND 100 AND scale(rule.threshold_value) <= 9 THEN NULL
                 ELSE 'a percentage from 0 to 100, with at most 9 decimals' END
        ELSE
            CASE WHEN rule.threshold_value >= 0 AND rule.threshold_value < 1e12 AND scale(rule.threshold_value) <= 9 THEN NULL
                 ELSE 'a number from 0 to less than 1000000000000, with at most 9 decimals' END
    END;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.threshold_problem(record) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.threshold_problem(record) IS
    'what threshold_value of a row of analytics.alert_rules should be instead; NULL if it is right';

CREATE FUNCTION analytics_internal.alert_words(
    OUT metrics text[], OUT conditions text[], OUT scored_conditions text[], OUT no_data text[])
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'shadow_alert_words';
COMMENT ON FUNCTION analytics_internal.alert_words() IS
    'the words that rules may use: metric_type, condition, of these the ones that compare with earlier hours, no_data';

CREATE FUNCTION analytics_internal.rule_problem(
    rule record, OUT field text, OUT value text, OUT allowed text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    words record;
BEGIN
    SELECT * INTO words FROM analytics_internal.alert_words();
    SELECT c.field, c.value, c.allowed INTO field, value, allowed
    FROM (VALUES
        (1, 'name', rule.name, length(btrim(rule.name)) BETWEEN 1 AND 200, '1 to 200 characters'),
        (2, 'description', rule.description, rule.description IS NULL OR length(rule.description) <= 10000,
            'at most 10000 characters'),
        (3, 'is_active', rule.is_active::text, rule.is_active IS NOT NULL, 'true, false'),
        (4, 'scope', rule.scope,
            rule.scope = 'workspace' OR rule.scope = 'platform' AND rule.workspace_id = '00000000-0000-0000-0000-000000000000',
            'workspace; platform only with the nil workspace_id'),
        (5, 'metric_type', rule.metric_type,
            rule.metric_type = ANY (words.metrics), array_to_string(words.metrics, ', ')),
        (6, 'condition', rule.condition,
            rule.condition = ANY (words.conditions), array_to_string(words.conditions, ', ')),
        (7, 'condition', rule.condition,
            rule.condition <> 'poisson' OR rule.metric_type IN ('active_users', 'failed_runs', 'agent_failures', 'user_signups'),
            'poisson only for active_users, failed_runs, agent_failures, user_signups'),
        (8, 'condition', rule.condition,
            rule.condition <> 'binomial' OR rule.metric_type IN ('error_rate', 'failure_rate'),
            'binomial only for error_rate, failure_rate'),
        (9, 'threshold_value', rule.threshold_value::text,
            rule.threshold_value IS NOT NULL AND analytics_internal.threshold_problem(rule) IS NULL,
            analytics_internal.threshold_problem(rule)),
        (10, 'threshold_max', rule.threshold_max::text,
            CASE WHEN rule.condition = 'between'
                 THEN rule.threshold_max >= rule.threshold_value AND rule.threshold_max < 1e12 AND scale(rule.threshold_max) <= 9
                 ELSE rule.threshold_max IS NULL END,
            'for between a number not below threshold_value, else NULL'),
        (11, 'evaluation_window_minutes', rule.evaluation_window_minutes::text,
            rule.evaluation_window_minutes BETWEEN 1 AND 1440, '1 to 1440'),
        (12, 'evaluation_delay_minutes', rule.evaluation_delay_minutes::text,
            rule.evaluation_delay_minutes BETWEEN 0 AND 60, '0 to 60'),
        (13, 'for_minutes', rule.for_minutes::text, rule.for_minutes BETWEEN 0 AND 1440, '0 to 1440'),
        (14, 'cooldown_minutes', rule.cooldown_minutes::text, rule.cooldown_minutes BETWEEN 0 AND 10080, '0 to 10080'),
        (15, 'severity', rule.severity, rule.severity IN ('info', 'warning', 'critical'), 'info, warning, critical'),
        (16, 'no_data', rule.no_data, rule.no_data = ANY (words.no_data), array_to_string(words.no_data, ', ')),
        (17, 'notification_channels', rule.notification_channels::text,
            analytics_internal.is_text_array(rule.notification_channels, '^(email|slack|webhook)$'),
            'an array of email, slack, webhook, each once'),
        (18, 'notification_recipients', rule.notification_recipients::text,
            analytics_internal.is_text_array(rule.notification_recipients, '^[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}$'),
            'an array of at most 20 names of destinations, each once')
    ) AS c (place, field, value, is_right, allowed)
    WHERE c.is_right IS NOT TRUE
    ORDER BY c.place
    LIMIT 1;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.rule_problem(record) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.rule_problem(record) IS
    'the first field of a row of analytics.alert_rules that is wrong, its value and what is allowed. NULLs if none is';

-- The channels of a rule and its destinations go together; destinations may be dropped later.
CREATE FUNCTION analytics_internal.missing_recipient(rule record) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT n.name
            FROM jsonb_array_elements_text(rule.notification_recipients) AS n (name)
            WHERE NOT EXISTS (SELECT FROM analytics.notification_destinations AS d
                              WHERE d.workspace_id = rule.workspace_id AND d.name = n.name
                                AND rule.notification_channels ? d.channel)
            ORDER BY 1 LIMIT 1);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.missing_recipient(record) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.missing_recipient(record) IS
    'the first recipient of a row of analytics.alert_rules that is no destination of its workspace in one of its channels; NULL if none';

CREATE FUNCTION analytics_internal.alert_rule_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    problem record;
BEGIN
    NEW.workspace_id := coalesce(NEW.workspace_id, '00000000-0000-0000-0000-000000000000');
    IF NEW.condition = 'anomaly' THEN
        NEW.threshold_value := coalesce(NEW.threshold_value, 3.5);
    END IF;
    IF NEW.scope = 'platform' THEN
        PERFORM analytics_internal.refuse_distributed('a rule of the whole platform', 'Make a rule for each workspace; each is evaluated where its events are.');
    END IF;
    problem := analytics_internal.rule_problem(NEW);
    IF problem.field IS NOT NULL THEN
        RAISE EXCEPTION 'invalid % of an alert rule', problem.field
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('%s is %s.', problem.field, coalesce(quote_literal(left(problem.value, 200)), 'NULL')),
                  HINT = format('Allowed is: %s.', problem.allowed);
    END IF;
    IF TG_OP = 'INSERT' THEN
        NEW.created_by := coalesce(analytics.current_user_id(), NEW.created_by);
        NEW.trigger_count := coalesce(NEW.trigger_count, 0); -- without default on Citus, as the dates are
        NEW.created_at := coalesce(NEW.created_at, now());
        NEW.updated_at := coalesce(NEW.updated_at, now());
    ELSE
        NEW.created_by := OLD.created_by;
        NEW.updated_at := CASE WHEN NEW IS DISTINCT FROM OLD THEN now() ELSE OLD.updated_at END;
    END IF;
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.alert_rule_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.alert_rule_check() IS
    'row trigger: refuses a rule that could not be evaluated, naming the field, its value and what is allowed (22023)';

CREATE TRIGGER check_rule BEFORE INSERT OR UPDATE OF workspace_id, name, description, is_active, scope, metric_type,
        condition, threshold_value, threshold_max, evaluation_window_minutes, evaluation_delay_minutes, for_minutes, cooldown_minutes, severity,
        no_data, notification_channels, notification_recipients
    ON analytics.alert_rules
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.alert_rule_check();
COMMENT ON TRIGGER check_rule ON analytics.alert_rules IS
    'refuses a rule that could not be evaluated';

-- After row security has judged the row: who has no part in a workspace learns nothing about its destinations. A dump's
-- destinations come after its rules.
CREATE FUNCTION analytics_internal.recipients_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    missing text := analytics_internal.missing_recipient(NEW);
BEGIN
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'invalid notification_recipients of an alert rule'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The workspace has no destination %s in one of the rule''s channels.', quote_literal(missing)),
                  HINT = 'Make it with analytics.set_notification_destination(), and name its channel in notification_channels.';
    END IF;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.recipients_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.recipients_check() IS
    'row trigger: refuses a rule whose recipients are no destinations of its workspace (22023)';
CREATE TRIGGER check_recipients AFTER INSERT OR UPDATE OF workspace_id, name, is_active, notification_channels,
        notification_recipients ON analytics.alert_rules
    FOR EACH ROW WHEN (NOT analytics_internal.is_taken_as_is('alert_rules'))
    EXECUTE FUNCTION analytics_internal.recipients_check();
COMMENT ON TRIGGER check_recipients ON analytics.alert_rules IS
    'refuses a rule whose recipients are no destinations of its workspace';

CREATE FUNCTION analytics_internal.lock_workspace(workspace_id uuid) RETURNS void
LANGUAGE c STRICT
AS 'MODULE_PATHNAME', 'shadow_lock_workspace';
REVOKE EXECUTE ON FUNCTION analytics_internal.lock_workspace(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.lock_workspace(uuid) IS
    'waits until no other transaction counts what the workspace has, and keeps others waiting to the end of this one';

-- After row security has judged the row, or the error would tell strangers how many there are.
CREATE FUNCTION analytics_internal.workspace_limit_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most CONSTANT bigint := analytics.setting(TG_ARGV[0])::bigint;
    present bigint;
BEGIN
    PERFORM analytics_internal.lock_workspace(NEW.workspace_id); -- before the count, whose snapshot is taken then
    EXECUTE format('SELECT count(*) FROM (SELECT FROM analytics.%I AS t WHERE t.workspace_id = $1 LIMIT $2) AS c', TG_TABLE_NAME)
    INTO present USING NEW.workspace_id, most + 1;
    IF present > most THEN
        RAISE EXCEPTION 'too many rows of a workspace in table "%"', TG_TABLE_NAME
            USING ERRCODE = 'program_limit_exceeded',
                  HINT = format('At most %s are allowed; the operator allows more with the setting %s.', most, TG_ARGV[0]);
    END IF;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.workspace_limit_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.workspace_limit_check() IS
    'row trigger: a workspace has at most as many rows as the setting that is its argument says (54000)';
CREATE TRIGGER limit_rules AFTER INSERT ON analytics.alert_rules
    FOR EACH ROW WHEN (row_security_active('analytics.alert_rules'::text))
    EXECUTE FUNCTION analytics_internal.workspace_limit_check('alert_rules_per_workspace');
COMMENT ON TRIGGER limit_rules ON analytics.alert_rules IS
    'roles under row security make so many rules in a workspace at most. Setting alert_rules_per_workspace';

CREATE FUNCTION analytics_internal.alert_rule_changed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NEW.is_active
       AND (OLD.workspace_id, OLD.id, OLD.scope, OLD.metric_type, OLD.condition, OLD.threshold_value, OLD.threshold_max,
            OLD.evaluation_window_minutes, OLD.evaluation_delay_minutes)
           IS NOT DISTINCT FROM
           (NEW.workspace_id, NEW.id, NEW.scope, NEW.metric_type, NEW.condition, NEW.threshold_value, NEW.threshold_max,
            NEW.evaluation_window_minutes, NEW.evaluation_delay_minutes) THEN
        RETURN NULL;
    END IF;
    UPDATE analytics.alert_history AS h
    SET resolved_at = greatest(now(), h.triggered_at),
        resolved_reason = CASE WHEN TG_OP = 'DELETE' THEN 'the rule was deleted'
                               WHEN NEW.is_active THEN 'the rule was changed' ELSE 'the rule was switched off' END
    WHERE h.workspace_id = OLD.workspace_id AND h.alert_rule_id = OLD.id AND h.resolved_at IS NULL;
    DELETE FROM analytics.alert_rule_states AS s
    WHERE s.workspace_id = OLD.workspace_id AND s.alert_rule_id = OLD.id;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.alert_rule_changed() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.alert_rule_changed() IS
    'row trigger: a rule that becomes another one, is switched off or deleted ends its episode';
CREATE TRIGGER end_episode AFTER UPDATE OF workspace_id, id, is_active, scope, metric_type, condition, threshold_value,
        threshold_max, evaluation_window_minutes, evaluation_delay_minutes OR DELETE ON analytics.alert_rules
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.alert_rule_changed();
COMMENT ON TRIGGER end_episode ON analytics.alert_rules IS
    'a rule that becomes another one, is switched off or deleted ends its episode';

-- Evaluation

CREATE FUNCTION analytics_internal.scored_hours(workspace_id uuid, all_workspaces boolean, at timestamptz)
RETURNS timestamptz[]
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    zone_name text := analytics.workspace_time_zone(workspace_id, at);
    scored timestamptz := date_trunc('hour', at, 'UTC') - interval '1 hour';
    scored_local timestamp := scored AT TIME ZONE zone_name;
    hours timestamptz[];
    oldest timestamptz;
    first_event timestamptz := '-infinity';
BEGIN
    SELECT array_agg(b.start ORDER BY b.start DESC), min(b.start) INTO hours, oldest
    FROM (SELECT (scored_local - make_interval(days => i)) AT TIME ZONE zone_name AS start
          FROM generate_series(1, 28) AS i
          WHERE (extract(isodow FROM scored_local - make_interval(days => i)) >= 6)
              = (extract(isodow FROM scored_local) >= 6)) AS b;
    -- The events have no index by time alone: rather a look for each hour, which ends at the first event found.
    IF all_workspaces THEN
        RETURN scored || ARRAY(SELECT h.start FROM unnest(hours) AS h (start)
                               WHERE EXISTS (SELECT FROM analytics.user_activity AS e WHERE e.created_at <= h.start)
                               ORDER BY h.start DESC);
    END IF;
    IF NOT EXISTS (SELECT FROM analytics.daily_metrics AS d
                   WHERE d.workspace_id = scored_hours.workspace_id AND d.metric_date < (oldest AT TIME ZONE zone_name)::date)
       AND NOT EXISTS (SELECT FROM analytics.user_activity AS e
                       WHERE e.workspace_id = scored_hours.workspace_id AND e.created_at <= oldest) THEN
        SELECT min(e.created_at) INTO first_event
        FROM analytics.user_activity AS e
        WHERE e.workspace_id = scored_hours.workspace_id AND e.created_at > oldest AND e.created_at < at;
    END IF;
    RETURN scored || ARRAY(SELECT h.start FROM unnest(hours) AS h (start) WHERE h.start >= first_event ORDER BY h.start DESC);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.scored_hours(uuid, boolean, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.scored_hours(uuid, boolean, timestamptz) IS
    'starts of the last full UTC hour and of the same local hour on those of the 28 days before that are of the same kind (working day or weekend) and not before the first event, latest first';

CREATE FUNCTION analytics_internal.measure_alert_rules(
    at timestamptz, rule_id uuid,
    OUT workspace_id uuid, OUT alert_rule_id uuid, OUT metric_value numeric, OUT threshold_value numeric,
    OUT holds boolean, OUT state text, OUT since timestamptz, OUT fires boolean, OUT resolves boolean,
    OUT reason text, OUT evaluation_context jsonb)
RETURNS SETOF record
LANGUAGE c STABLE
AS 'MODULE_PATHNAME', 'shadow_measure_alert_rules';
REVOKE EXECUTE ON FUNCTION analytics_internal.measure_alert_rules(timestamptz, uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.measure_alert_rules(timestamptz, uuid) IS
    'what every active rule, or one rule whether active or not (NULL: all), measures at a moment and which step its state would take; writes nothing. A NULL or infinite moment is an error (22023)';

-- PL/pgSQL, as on several servers the query must not become a part of another.
CREATE FUNCTION analytics_internal.with_agent_names(workspace_id uuid, context jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    named jsonb := (SELECT jsonb_agg(CASE WHEN n.name IS NULL THEN a.agent ELSE a.agent || jsonb_build_object('name', n.name) END ORDER BY a.place)
                    FROM jsonb_array_elements(context -> 'failing_agents') WITH ORDINALITY AS a (agent, place)
                    LEFT JOIN analytics.agents AS n
                      ON n.workspace_id = with_agent_names.workspace_id AND n.agent_id = (a.agent ->> 'agent_id')::uuid);
BEGIN
    RETURN CASE WHEN named IS NULL THEN context ELSE jsonb_set(context, '{failing_agents}', named) END;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.with_agent_names(uuid, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.with_agent_names(uuid, jsonb) IS
    'evaluation_context with the names of analytics.agents beside the uuids of failing_agents; one without agents as it is';

CREATE FUNCTION analytics_internal.apply_alert_verdicts(at timestamptz)
RETURNS TABLE (
    alert_rule_id uuid, triggered boolean, metric_value numeric, threshold_value numeric, state text, reason text,
    workspace_id uuid, alert_id uuid)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH verdict AS MATERIALIZED (
        SELECT m.*, r.name, r.severity, r.metric_type, r.condition,
               m.state IS DISTINCT FROM coalesce(s.state, 'ok') AS is_changed,
               CASE WHEN m.fires THEN gen_random_uuid() ELSE s.alert_id END AS alert_id
        FROM analytics_internal.measure_alert_rules(at, NULL) AS m
        JOIN analytics.alert_rules AS r ON r.workspace_id = m.workspace_id AND r.id = m.alert_rule_id
        LEFT JOIN analytics.alert_rule_states AS s
          ON s.workspace_id = m.workspace_id AND s.alert_rule_id = m.alert_rule_id
    ), opened AS (
        INSERT INTO analytics.alert_history (workspace_id, id, alert_rule_id, rule_name, severity, triggered_at,
            metric_type, condition, metric_value, threshold_value, reason, evaluation_context)
        SELECT v.workspace_id, v.alert_id, v.alert_rule_id, v.name, v.severity, at,
               v.metric_type, v.condition, v.metric_value, v.threshold_value, v.reason,
               analytics_internal.with_agent_names(v.workspace_id, v.evaluation_context)
        FROM verdict AS v WHERE v.fires
    ), counted AS (
        UPDATE analytics.alert_rules AS r
        SET last_triggered_at = at, trigger_count = r.trigger_count + 1
        FROM verdict AS v
        WHERE v.fires AND r.workspace_id = v.workspace_id AND r.id = v.alert_rule_id
    ), closed AS (
        UPDATE analytics.alert_history AS h
        SET resolved_at = greatest(at, h.triggered_at), resolved_reason = v.reason
        FROM verdict AS v
        WHERE v.resolves AND h.workspace_id = v.workspace_id AND h.id = v.alert_id AND h.resolved_at IS NULL
    ), stepped AS (
        INSERT INTO analytics.alert_rule_states AS s (workspace_id, alert_rule_id, state, since, alert_id)
        SELECT v.workspace_id, v.alert_rule_id, v.state, v.since, CASE WHEN v.state = 'firing' THEN v.alert_id END
        FROM verdict AS v WHERE v.is_changed
        ON CONFLICT (workspace_id, alert_rule_id) DO UPDATE
        SET state = EXCLUDED.state, since = EXCLUDED.since, alert_id = EXCLUDED.alert_id
    )
    SELECT v.alert_rule_id, v.state = 'firing', v.metric_value, v.threshold_value,
           CASE WHEN v.resolves THEN 'resolved' ELSE v.state END, v.reason, v.workspace_id,
           CASE WHEN v.state = 'firing' OR v.resolves THEN v.alert_id END
    FROM verdict AS v;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.apply_alert_verdicts(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.apply_alert_verdicts(timestamptz) IS
    'evaluates the active rules as of a moment and writes episodes and states; the caller holds the lock';

CREATE FUNCTION analytics_internal.evaluate_alert_rules(at timestamptz)
RETURNS TABLE (
    alert_rule_id uuid, triggered boolean, metric_value numeric, threshold_value numeric, state text, reason text,
    workspace_id uuid, alert_id uuid)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
BEGIN
    PERFORM analytics_internal.refuse_distributed('evaluating alert rules by hand', 'CALL analytics.maintain(), which evaluates them on each server.');
    -- At any other moment the windows are empty and every episode would end.
    IF (at < now() - interval '1 hour' OR at > clock_timestamp() + interval '1 minute') AND isfinite(at)
       AND NOT pg_has_role(analytics_internal.invoking_role(), current_user, 'USAGE') THEN
        RAISE EXCEPTION 'alert rules are evaluated as of now'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('The moment is %s.', at),
                  HINT = 'Give a moment of the last hour, or ask analytics.test_alert_rule() about another.';
    END IF;
    -- One evaluation at a time; whoever waited sees what the other has written.
    PERFORM analytics_internal.lock('alerts');
    RETURN QUERY SELECT v.* FROM analytics_internal.apply_alert_verdicts(at) AS v;
    PERFORM analytics_internal.queue_notifications(at);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.evaluate_alert_rules(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.evaluate_alert_rules(timestamptz) IS
    'analytics.evaluate_alert_rules() as of a moment, with the rights of the owner; for simulations. But for the owner the moment must be within the last hour (22023)';

CREATE FUNCTION analytics.evaluate_alert_rules()
RETURNS TABLE (
    alert_rule_id uuid, triggered boolean, metric_value numeric, threshold_value numeric, state text, reason text,
    workspace_id uuid, alert_id uuid)
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$ SELECT e.* FROM analytics_internal.evaluate_alert_rules(now()) AS e $$;
REVOKE EXECUTE ON FUNCTION analytics.evaluate_alert_rules() FROM PUBLIC;
COMMENT ON FUNCTION analytics.evaluate_alert_rules() IS
    'evaluates every active rule as of now, from one scan of the events of their windows. Opens and ends episodes (alert_history), writes notifications. One row per rule: alert_rule_id, triggered (the rule is firing), metric_value (NULL: no data), threshold_value, state (ok, pending, firing, or resolved just now), reason, workspace_id, alert_id (the episode). To be run every minute or so, for instance by pg_cron; concurrent calls wait for each other. In REPEATABLE READ it may fail with 40001';

CREATE FUNCTION analytics_internal.test_alert_rule(rule_id uuid, at timestamptz)
RETURNS TABLE (triggered boolean, metric_value numeric, threshold_value numeric, reason text, evaluation_context jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
#variable_conflict use_column
DECLARE
    sees_all boolean := (SELECT r.rolsuper OR r.rolbypassrls OR pg_has_role(r.oid, current_user, 'USAGE')
                         FROM pg_roles AS r WHERE r.rolname = analytics_internal.invoking_role());
    managed CONSTANT uuid[] := analytics_internal.managed_workspace_ids();
    place uuid;
BEGIN
    IF rule_id IS NULL OR at IS NULL THEN
        RAISE EXCEPTION 'id and at must not be NULL' USING ERRCODE = 'null_value_not_allowed';
    END IF;
    SELECT r.workspace_id INTO place FROM analytics.alert_rules AS r WHERE r.id = rule_id AND (sees_all OR r.workspace_id = ANY (managed));
    IF NOT FOUND THEN
        RAISE EXCEPTION 'alert rule "%" does not exist', rule_id USING ERRCODE = 'no_data_found';
    ELSIF analytics_internal.has_cells() THEN
        RETURN QUERY
        SELECT m.* FROM jsonb_to_recordset(analytics_internal.in_cell_of(place, format(
            'SELECT jsonb_agg(to_jsonb(m)) FROM analytics_internal.measure_alert_rules(%L, %L) AS m', to_jsonb(at) #>> '{}', rule_id)))
            AS m (holds boolean, metric_value numeric, threshold_value numeric, reason text, evaluation_context jsonb);
        RETURN;
    END IF;
    RETURN QUERY
    SELECT m.holds, m.metric_value, m.threshold_value, m.reason, analytics_internal.with_agent_names(m.workspace_id, m.evaluation_context)
    FROM analytics_internal.measure_alert_rules(at, rule_id) AS m;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.test_alert_rule(uuid, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.test_alert_rule(uuid, timestamptz) IS
    'analytics.test_alert_rule with the rights of the owner, for who may change the rule';

CREATE FUNCTION analytics.test_alert_rule(id uuid, at timestamptz DEFAULT now())
RETURNS TABLE (triggered boolean, metric_value numeric, threshold_value numeric, reason text, evaluation_context jsonb)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
BEGIN ATOMIC
    SELECT t.* FROM analytics_internal.test_alert_rule(test_alert_rule.id, test_alert_rule.at) AS t;
END;
REVOKE EXECUTE ON FUNCTION analytics.test_alert_rule(uuid, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.test_alert_rule(uuid, timestamptz) IS
    'what a rule, active or not, would have found at a moment, without effects. triggered (its condition held; for_minutes is not waited for), the value, why, and what the window held. For the service role and for managers of the rule''s workspace; another''s rule is as unknown as one that does not exist (P0002), NULL too (22004)';

-- Acknowledging

CREATE FUNCTION analytics_internal.alert_history_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NEW.acknowledged_by IS DISTINCT FROM OLD.acknowledged_by
       OR NEW.acknowledged_at IS DISTINCT FROM OLD.acknowledged_at THEN
        IF NEW.acknowledged_by IS NULL AND (OLD.acknowledged_by IS NOT NULL OR NEW.acknowledged_at IS NULL) THEN
            NEW.acknowledged_at := NULL;
        ELSE
            NEW.acknowledged_by := coalesce(analytics.current_user_id(), NEW.acknowledged_by);
            NEW.acknowledged_at := now();
        END IF;
    END IF;
    IF NEW.snoozed_until > now() + interval '30 days' THEN
        RAISE EXCEPTION 'alert snoozed for too long'
            USING ERRCODE = 'invalid_parameter_value',
                  DETAIL = format('It would be silent until %s.', NEW.snoozed_until),
                  HINT = 'Snooze it for at most 30 days, or switch the rule off.';
    END IF;
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.alert_history_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.alert_history_check() IS
    'row trigger: an acknowledgment is by the current user and dated now. A snooze is for at most 30 days (22023)';
CREATE TRIGGER check_acknowledgment BEFORE UPDATE OF acknowledged_by, acknowledged_at, snoozed_until ON analytics.alert_history
    FOR EACH ROW WHEN (NOT analytics_internal.is_taken_as_is('alert_history')) -- not analytics.forget_user()
    EXECUTE FUNCTION analytics_internal.alert_history_check();
COMMENT ON TRIGGER check_acknowledgment ON analytics.alert_history IS
    'an acknowledgment is by the current user and dated now';

CREATE FUNCTION analytics.acknowledge_alert(alert_id uuid, notes text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    UPDATE analytics.alert_history AS h
    SET acknowledged_by = analytics.current_user_id(), acknowledged_at = now(), notes = coalesce(notes, h.notes)
    WHERE h.id = alert_id AND h.acknowledged_at IS NULL;
    IF NOT FOUND AND NOT EXISTS (SELECT 1 FROM analytics.alert_history AS h WHERE h.id = alert_id) THEN
        RAISE EXCEPTION 'alert "%" does not exist', alert_id USING ERRCODE = 'no_data_found';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.acknowledge_alert(uuid, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics.acknowledge_alert(uuid, text) IS
    'notes that the current user has taken up an episode; nothing happens if somebody already has. An episode that the caller cannot see is an error (P0002)';

CREATE FUNCTION analytics.unacknowledge_alert(alert_id uuid) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    UPDATE analytics.alert_history AS h SET acknowledged_by = NULL, acknowledged_at = NULL WHERE h.id = alert_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'alert "%" does not exist', alert_id USING ERRCODE = 'no_data_found';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.unacknowledge_alert(uuid) FROM PUBLIC;
COMMENT ON FUNCTION analytics.unacknowledge_alert(uuid) IS
    'takes an acknowledgment back, whoever made it. An episode that the caller cannot see is an error (P0002)';

CREATE FUNCTION analytics.snooze_alert(alert_id uuid, until timestamptz) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    UPDATE analytics.alert_history AS h SET snoozed_until = until WHERE h.id = alert_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'alert "%" does not exist', alert_id USING ERRCODE = 'no_data_found';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.snooze_alert(uuid, timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics.snooze_alert(uuid, timestamptz) IS
    'no notification about the episode''s rule before an instant, at most 30 days ahead (22023). NULL ends the snooze. An episode that the caller cannot see is an error (P0002)';

CREATE VIEW analytics.active_alerts WITH (security_invoker = true) AS
SELECT s.workspace_id, s.alert_rule_id, s.alert_id, r.name AS rule_name, r.severity,
       CASE WHEN s.state = 'pending' THEN 'pending'
            WHEN h.snoozed_until > now() THEN 'snoozed'
            WHEN h.acknowledged_at IS NOT NULL THEN 'acknowledged'
            ELSE 'firing' END AS state,
       s.since, r.metric_type, h.metric_value, h.threshold_value, h.reason, h.evaluation_context,
       h.acknowledged_by, h.acknowledged_at, h.snoozed_until, h.notes, h.notified_at
FROM analytics.alert_rule_states AS s
JOIN analytics.alert_rules AS r ON r.workspace_id = s.workspace_id AND r.id = s.alert_rule_id
LEFT JOIN analytics.alert_history AS h ON h.workspace_id = s.workspace_id AND h.id = s.alert_id
WHERE s.state <> 'ok';
COMMENT ON VIEW analytics.active_alerts IS
    'rules that are pending or firing, with their open episodes; members see their workspaces''';
COMMENT ON COLUMN analytics.active_alerts.workspace_id IS 'workspace of the rule';
COMMENT ON COLUMN analytics.active_alerts.alert_rule_id IS 'the rule';
COMMENT ON COLUMN analytics.active_alerts.alert_id IS 'the episode; NULL while pending';
COMMENT ON COLUMN analytics.active_alerts.rule_name IS 'name of the rule';
COMMENT ON COLUMN analytics.active_alerts.severity IS 'info, warning or critical';
COMMENT ON COLUMN analytics.active_alerts.state IS 'pending, firing, acknowledged or snoozed';
COMMENT ON COLUMN analytics.active_alerts.since IS 'when it became pending or fired';
COMMENT ON COLUMN analytics.active_alerts.metric_type IS 'metric of the rule';
COMMENT ON COLUMN analytics.active_alerts.metric_value IS 'value that made it fire';
COMMENT ON COLUMN analytics.active_alerts.threshold_value IS 'threshold of the rule then';
COMMENT ON COLUMN analytics.active_alerts.reason IS 'why it fired';
COMMENT ON COLUMN analytics.active_alerts.evaluation_context IS 'what the window held';
COMMENT ON COLUMN analytics.active_alerts.acknowledged_by IS 'who has taken it up';
COMMENT ON COLUMN analytics.active_alerts.acknowledged_at IS 'when';
COMMENT ON COLUMN analytics.active_alerts.snoozed_until IS 'until when the rule is silent';
COMMENT ON COLUMN analytics.active_alerts.notes IS 'notes of people';
COMMENT ON COLUMN analytics.active_alerts.notified_at IS 'when its start was handed to the outbox; NULL: withheld';
