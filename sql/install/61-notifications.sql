-- Notifications: where they go, the outbox that the evaluation fills, and the functions of
-- shadow-analytics-notifier, which empties it.

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
    'where notifications go, by name. Addresses and secrets are never readable through the API, see analytics.notification_destination_list';
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
    'messages to be delivered by shadow-analytics-notifier, written in the transaction of the episode. Delivered at least once';
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

CREATE POLICY manager_reads ON analytics.notification_destinations FOR SELECT
    USING (workspace_id = ANY (analytics_internal.managed_workspace_ids()));
COMMENT ON POLICY manager_reads ON analytics.notification_destinations IS
    'managers read the names; addresses and secrets are not granted';
CREATE POLICY manager_inserts ON analytics.notification_destinations FOR INSERT
    WITH CHECK (workspace_id = ANY (analytics_internal.managed_workspace_ids()));
COMMENT ON POLICY manager_inserts ON analytics.notification_destinations IS
    'managers make destinations for their workspaces';
CREATE POLICY manager_updates ON analytics.notification_destinations FOR UPDATE
    USING (workspace_id = ANY (analytics_internal.managed_workspace_ids()))
    WITH CHECK (workspace_id = ANY (analytics_internal.managed_workspace_ids()));
COMMENT ON POLICY manager_updates ON analytics.notification_destinations IS
    'managers change destinations of their workspaces';
CREATE POLICY manager_deletes ON analytics.notification_destinations FOR DELETE
    USING (workspace_id = ANY (analytics_internal.managed_workspace_ids()));
COMMENT ON POLICY manager_deletes ON analytics.notification_destinations IS
    'managers delete destinations of their workspaces';
CREATE POLICY member_reads ON analytics.notification_outbox FOR SELECT
    USING (workspace_id = ANY (analytics.workspace_ids()));
COMMENT ON POLICY member_reads ON analytics.notification_outbox IS
    'members see what became of their workspaces'' notifications; the messages are not granted';

-- The outbox

CREATE FUNCTION analytics_internal.notification_message(alert record, kind text) RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN jsonb_build_object(
        'kind', kind,
        'alert_id', alert.id,
        'alert_rule_id', alert.alert_rule_id,
        'workspace_id', alert.workspace_id,
        'rule_name', alert.rule_name,
        'severity', alert.severity,
        'metric_type', alert.metric_type,
        'condition', alert.condition,
        'metric_value', alert.metric_value,
        'threshold_value', alert.threshold_value,
        'reason', CASE kind WHEN 'resolved' THEN alert.resolved_reason ELSE alert.reason END,
        'triggered_at', to_char(alert.triggered_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
        'resolved_at', to_char(alert.resolved_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.notification_message(record, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.notification_message(record, text) IS
    'what a notification says about an episode, a row of analytics.alert_history. The notifier makes mail, Slack blocks or JSON of it';

CREATE FUNCTION analytics_internal.send_notifications(kind text, workspace_ids uuid[], alert_ids uuid[], at timestamptz)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    budget CONSTANT integer := analytics.setting('alert_notifications_per_hour')::integer;
    written bigint;
BEGIN
    INSERT INTO analytics.notification_outbox AS o (workspace_id, kind, alert_id, alert_rule_id, destination_name, channel,
        message, status, last_error, next_attempt_at, created_at)
    SELECT m.workspace_id, kind, m.alert_id, m.alert_rule_id, m.destination_name, m.channel, m.message,
           CASE WHEN m.place + m.used > budget THEN 'suppressed' ELSE 'waiting' END,
           CASE WHEN m.place + m.used > budget THEN 'over the hourly budget of the workspace' END, at, at
    FROM (SELECT h.workspace_id, h.id AS alert_id, h.alert_rule_id, d.name AS destination_name, d.channel,
                 analytics_internal.notification_message(h, kind) AS message,
                 row_number() OVER (PARTITION BY h.workspace_id
                                    ORDER BY array_position('{critical,warning,info}', h.severity), h.id, d.name) AS place,
                 (SELECT count(*) FROM analytics.notification_outbox AS p
                  WHERE p.workspace_id = h.workspace_id AND p.created_at > at - interval '1 hour'
                    AND p.status <> 'suppressed') AS used
          FROM unnest(workspace_ids, alert_ids) AS a (workspace_id, id)
          JOIN analytics.alert_history AS h ON h.workspace_id = a.workspace_id AND h.id = a.id
          JOIN analytics.alert_rules AS r ON r.workspace_id = h.workspace_id AND r.id = h.alert_rule_id
          JOIN analytics.notification_destinations AS d
            ON d.workspace_id = r.workspace_id AND r.notification_recipients ? d.name
               AND r.notification_channels ? d.channel AND d.is_verified
          -- Who was not told of the start is not told of the end.
          WHERE kind <> 'resolved'
             OR NOT EXISTS (SELECT FROM analytics.notification_outbox AS f
                            WHERE f.workspace_id = h.workspace_id AND f.alert_id = h.id AND f.kind = 'firing'
                              AND f.destination_name = d.name AND f.status = 'suppressed')) AS m
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written > 0 THEN
        PERFORM pg_notify('shadow_analytics', '');
    END IF;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.send_notifications(text, uuid[], uuid[], timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.send_notifications(text, uuid[], uuid[], timestamptz) IS
    'writes messages about episodes to the outbox, one per verified destination of the rule, within the workspace''s hourly budget, and wakes the notifiers; returns their number';

CREATE FUNCTION analytics_internal.queue_notifications(at timestamptz) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    workspaces uuid[];
    alerts uuid[];
    written bigint := 0;
BEGIN
    -- Starts: also of episodes that a cooldown or snooze has held back until now.
    WITH due AS (
        SELECT h.workspace_id, h.id, h.alert_rule_id
        FROM analytics.alert_history AS h
        JOIN analytics.alert_rules AS r ON r.workspace_id = h.workspace_id AND r.id = h.alert_rule_id
        JOIN analytics.alert_rule_states AS s ON s.workspace_id = h.workspace_id AND s.alert_rule_id = h.alert_rule_id
        WHERE h.resolved_at IS NULL AND h.notified_at IS NULL AND h.acknowledged_at IS NULL
          AND (s.last_notified_at IS NULL OR s.last_notified_at + make_interval(mins => r.cooldown_minutes) <= at)
          AND NOT EXISTS (SELECT FROM analytics.alert_history AS z
                          WHERE z.workspace_id = h.workspace_id AND z.alert_rule_id = h.alert_rule_id
                            AND z.snoozed_until > at)
    ), marked AS (
        UPDATE analytics.alert_history AS h SET notified_at = at
        FROM due AS d WHERE h.workspace_id = d.workspace_id AND h.id = d.id
    ), cooled AS (
        UPDATE analytics.alert_rule_states AS s SET last_notified_at = at
        FROM due AS d WHERE s.workspace_id = d.workspace_id AND s.alert_rule_id = d.alert_rule_id
    )
    SELECT array_agg(d.workspace_id), array_agg(d.id) INTO workspaces, alerts FROM due AS d;
    IF alerts IS NOT NULL THEN
        written := analytics_internal.send_notifications('firing', workspaces, alerts, at);
    END IF;

    -- Ends of what was notified.
    SELECT array_agg(h.workspace_id), array_agg(h.id) INTO workspaces, alerts
    FROM analytics.alert_history AS h
    JOIN analytics.alert_rule_states AS s ON s.workspace_id = h.workspace_id AND s.alert_rule_id = h.alert_rule_id
    WHERE s.state = 'ok' AND s.since = at AND h.resolved_at >= at AND h.notified_at IS NOT NULL;
    IF alerts IS NOT NULL THEN
        written := written + analytics_internal.send_notifications('resolved', workspaces, alerts, at);
    END IF;
    RETURN written;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.queue_notifications(timestamptz) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.queue_notifications(timestamptz) IS
    'after an evaluation: messages about episodes that started, unless acknowledged, snoozed or cooling down, and about the ends of those that were notified';

-- Destinations

CREATE FUNCTION analytics_internal.address_problem(channel text, address text) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE
    WHEN channel = 'email' AND (address !~ '^[A-Za-z0-9.!#$%&''*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$'
                                OR length(address) > 254)
        THEN 'an address such as oncall@example.org, in ASCII'
    WHEN channel IN ('slack', 'webhook') AND (address !~ '^https://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[!-~]*)?$' OR length(address) > 2000)
        THEN 'a URL that begins with https://, without user name, in ASCII'
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.address_problem(text, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.address_problem(text, text) IS
    'what an address of a channel should look like; NULL if it does';

CREATE FUNCTION analytics_internal.is_mail_allowed(address text) RETURNS boolean
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    domains text[] := regexp_split_to_array(lower(analytics.setting('email_domains_allowed') COLLATE "C"), '[[:space:]]*,[[:space:]]*'); -- not Turkish: I is i
BEGIN
    RETURN '*' = ANY (domains) OR lower(split_part(address, '@', 2) COLLATE "C") = ANY (domains);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.is_mail_allowed(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.is_mail_allowed(text) IS
    'whether tenants may have mail sent to the address''s domain (setting email_domains_allowed)';

-- Mail that asks its reader to confirm the address: the only mail that an unverified address gets.
CREATE FUNCTION analytics_internal.send_verification(workspace_id uuid, destination_name text) RETURNS bytea
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    code CONSTANT text := upper(left(replace(gen_random_uuid()::text, '-', ''), 12));
BEGIN
    IF (SELECT count(*) FROM analytics.notification_outbox AS o
        WHERE o.workspace_id = send_verification.workspace_id AND o.kind = 'verification'
          AND o.created_at > now() - interval '1 hour') >= 5 THEN
        RAISE EXCEPTION 'too many mail addresses to verify'
            USING ERRCODE = 'program_limit_exceeded', HINT = 'At most 5 an hour and workspace; try again later.';
    END IF;
    INSERT INTO analytics.notification_outbox (workspace_id, kind, destination_name, channel, message)
    VALUES (send_verification.workspace_id, 'verification', destination_name, 'email',
            jsonb_build_object('kind', 'verification', 'destination_name', destination_name, 'code', code));
    PERFORM pg_notify('shadow_analytics', '');
    RETURN sha256(convert_to(code, 'UTF8'));
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.send_verification(uuid, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.send_verification(uuid, text) IS
    'queues the mail with the code that verifies an address, at most 5 an hour and workspace (54000). Returns the code''s SHA-256';

CREATE FUNCTION analytics_internal.check_address(destination record) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    allowed CONSTANT text := analytics_internal.address_problem(destination.channel, destination.address);
BEGIN
    -- The values themselves are secret and stay out of errors, which are logged: a constraint would show the whole row.
    IF destination.workspace_id IS NULL OR destination.name IS NULL OR destination.channel IS NULL OR destination.address IS NULL THEN
        RAISE EXCEPTION 'workspace_id, name, channel and address of a notification destination must not be NULL'
            USING ERRCODE = 'not_null_violation';
    ELSIF destination.channel NOT IN ('email', 'slack', 'webhook') THEN
        RAISE EXCEPTION 'invalid channel of a notification destination'
            USING ERRCODE = 'check_violation', HINT = 'Allowed is: email, slack, webhook.';
    ELSIF destination.name !~ '^[A-Za-z0-9][A-Za-z0-9 ._-]{0,62}$' THEN
        RAISE EXCEPTION 'invalid name of a notification destination'
            USING ERRCODE = 'check_violation', HINT = 'Allowed is: up to 63 ASCII letters, digits, spaces, dots, hyphens and underscores.';
    ELSIF allowed IS NOT NULL THEN
        RAISE EXCEPTION 'invalid address of a notification destination'
            USING ERRCODE = 'invalid_parameter_value', HINT = format('Allowed is: %s.', allowed);
    ELSIF length(destination.signing_secret) NOT BETWEEN 16 AND 200 THEN
        RAISE EXCEPTION 'invalid signing_secret of a notification destination'
            USING ERRCODE = 'invalid_parameter_value', HINT = 'Allowed is: 16 to 200 characters, or NULL.';
    ELSIF destination.channel = 'email' AND analytics.current_user_id() IS NOT NULL
          AND NOT analytics_internal.is_mail_allowed(destination.address) THEN
        RAISE EXCEPTION 'mail to this domain is not allowed'
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'The operator allows domains with the setting email_domains_allowed.';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.check_address(record) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.check_address(record) IS
    'refuses NULLs (23502), a wrong channel or name (23514), address or secret (22023), without repeating them, and a tenant''s mail to a domain that is not allowed (42501)';

-- Before the other triggers, which ask what the workspace has: what they find would tell strangers.
CREATE FUNCTION analytics_internal.refuse_stranger() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'new row violates row-level security policy for table "%"', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.refuse_stranger() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.refuse_stranger() IS
    'row trigger: refuses as a policy does (42501)';
CREATE TRIGGER allow_managers BEFORE INSERT OR UPDATE OF workspace_id ON analytics.notification_destinations
    FOR EACH ROW WHEN (row_security_active('analytics.notification_destinations'::text)
                       AND (coalesce(NEW.workspace_id, '00000000-0000-0000-0000-000000000000')
                            = ANY (analytics_internal.managed_workspace_ids())) IS NOT TRUE)
    EXECUTE FUNCTION analytics_internal.refuse_stranger();
COMMENT ON TRIGGER allow_managers ON analytics.notification_destinations IS
    'membership is judged before anything that depends on the workspace';

CREATE FUNCTION analytics_internal.destination_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_tenant CONSTANT boolean := analytics.current_user_id() IS NOT NULL;
BEGIN
    PERFORM analytics_internal.check_address(NEW);
    IF TG_OP = 'INSERT' OR (NEW.channel, NEW.address) IS DISTINCT FROM (OLD.channel, OLD.address) THEN
        NEW.is_verified := NOT is_tenant OR NEW.channel <> 'email';
        NEW.verification_hash := NULL;
        NEW.verification_expires_at := NULL;
        IF NOT NEW.is_verified THEN
            NEW.verification_hash := analytics_internal.send_verification(NEW.workspace_id, NEW.name);
            NEW.verification_expires_at := now() + interval '1 day';
        END IF;
    END IF;
    NEW.created_at := coalesce(NEW.created_at, now()); -- no default on Citus
    NEW.updated_at := CASE WHEN TG_OP = 'INSERT' THEN coalesce(NEW.updated_at, now()) ELSE now() END;
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.destination_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.destination_check() IS
    'row trigger: checks address and secret. What tenants enter as mail address is unverified, and gets a code to confirm it';
CREATE TRIGGER check_destination BEFORE INSERT OR UPDATE OF workspace_id, name, channel, address, signing_secret
    ON analytics.notification_destinations
    FOR EACH ROW WHEN (NOT analytics_internal.is_taken_as_is('notification_destinations'))
    EXECUTE FUNCTION analytics_internal.destination_check();
COMMENT ON TRIGGER check_destination ON analytics.notification_destinations IS
    'checks address and secret; mail addresses of tenants start unverified';

CREATE TRIGGER limit_destinations AFTER INSERT ON analytics.notification_destinations
    FOR EACH ROW WHEN (row_security_active('analytics.notification_destinations'::text))
    EXECUTE FUNCTION analytics_internal.workspace_limit_check('destinations_per_workspace');
COMMENT ON TRIGGER limit_destinations ON analytics.notification_destinations IS
    'roles under row security make so many destinations in a workspace at most. Setting destinations_per_workspace';

-- To write a code's hash is to claim knowledge of the code: the right one verifies, others are refused.
CREATE FUNCTION analytics_internal.verification_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF OLD.is_verified THEN
        NEW.verification_hash := OLD.verification_hash;
        RETURN NEW;
    END IF;
    IF OLD.verification_expires_at > now() AND NEW.verification_hash = OLD.verification_hash THEN
        NEW.is_verified := true;
        NEW.verification_hash := NULL;
        NEW.verification_expires_at := NULL;
        NEW.updated_at := now();
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'wrong or expired verification code'
        USING ERRCODE = 'invalid_parameter_value', HINT = 'Set the address again to get a new code.';
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.verification_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.verification_check() IS
    'row trigger: verifies a destination when the hash of its code is written. Another one is an error (22023)';
CREATE TRIGGER check_verification BEFORE UPDATE OF verification_hash ON analytics.notification_destinations
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.verification_check();
COMMENT ON TRIGGER check_verification ON analytics.notification_destinations IS
    'verifies a destination when the hash of its code is written';

CREATE FUNCTION analytics.set_notification_destination(
    workspace_id uuid, name text, channel text, address text, signing_secret text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    -- Not ON CONFLICT: that would need the right to read the address.
    UPDATE analytics.notification_destinations AS d
    SET channel = channel, address = address, signing_secret = signing_secret
    WHERE d.workspace_id = workspace_id AND d.name = name;
    IF NOT FOUND THEN
        INSERT INTO analytics.notification_destinations (workspace_id, name, channel, address, signing_secret)
        VALUES (workspace_id, name, channel, address, signing_secret);
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.set_notification_destination(uuid, text, text, text, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics.set_notification_destination(uuid, text, text, text, text) IS
    'makes or replaces a destination: channel email, slack or webhook. Address or https URL, which nobody can read back through the API; signing_secret (16 to 200 characters) signs webhooks. A mail address set by a tenant must be of an allowed domain (42501) and be verified by the code mailed to it. A wrong value is an error (22023, 23514)';

CREATE FUNCTION analytics.verify_notification_destination(workspace_id uuid, name text, code text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    UPDATE analytics.notification_destinations AS d
    SET verification_hash = sha256(convert_to(upper(btrim(code)), 'UTF8'))
    WHERE d.workspace_id = workspace_id AND d.name = name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'notification destination "%" does not exist', name USING ERRCODE = 'no_data_found';
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics.verify_notification_destination(uuid, text, text) FROM PUBLIC;
COMMENT ON FUNCTION analytics.verify_notification_destination(uuid, text, text) IS
    'confirms a mail address with the code mailed to it, within a day. A wrong code is an error (22023), an unknown destination too (P0002)';

-- A function, as on Citus the view itself would read the addresses with the rights of who asks.
CREATE FUNCTION analytics_internal.managed_destinations(
    OUT workspace_id uuid, OUT name text, OUT channel text, OUT masked_address text, OUT is_signed boolean, OUT is_verified boolean,
    OUT created_at timestamptz, OUT updated_at timestamptz)
RETURNS SETOF record
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    managed CONSTANT uuid[] := analytics_internal.managed_workspace_ids();
BEGIN
    RETURN QUERY
    SELECT d.workspace_id, d.name, d.channel,
           CASE d.channel WHEN 'email' THEN left(d.address, 1) || '***@' || split_part(d.address, '@', 2)
                          ELSE 'https://' || split_part(d.address, '/', 3) || '/***' END,
           d.signing_secret IS NOT NULL, d.is_verified, d.created_at, d.updated_at
    FROM analytics.notification_destinations AS d
    WHERE d.workspace_id = ANY (managed);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.managed_destinations() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.managed_destinations() IS
    'rows of analytics.notification_destination_list';

CREATE VIEW analytics.notification_destination_list WITH (security_barrier = true) AS
SELECT d.workspace_id, d.name, d.channel, d.masked_address, d.is_signed, d.is_verified, d.created_at, d.updated_at
FROM analytics_internal.managed_destinations() AS d;
COMMENT ON VIEW analytics.notification_destination_list IS
    'destinations of the workspaces that the current user manages, with masked addresses';
COMMENT ON COLUMN analytics.notification_destination_list.workspace_id IS 'workspace that may use it';
COMMENT ON COLUMN analytics.notification_destination_list.name IS 'name that rules refer to';
COMMENT ON COLUMN analytics.notification_destination_list.channel IS 'email, slack or webhook';
COMMENT ON COLUMN analytics.notification_destination_list.masked_address IS 'first letter and domain of a mail address, host of a URL';
COMMENT ON COLUMN analytics.notification_destination_list.is_signed IS 'whether a signing secret is set';
COMMENT ON COLUMN analytics.notification_destination_list.is_verified IS 'false: gets nothing but its verification code';
COMMENT ON COLUMN analytics.notification_destination_list.created_at IS 'when it was made';
COMMENT ON COLUMN analytics.notification_destination_list.updated_at IS 'when it last changed';

-- The notifier's side

CREATE FUNCTION analytics_internal.notification_subject(message jsonb) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE message ->> 'kind'
    WHEN 'verification' THEN 'Confirm this address for notifications'
    WHEN 'resolved' THEN format('[resolved] %s', message ->> 'rule_name')
    ELSE format('[%s] %s', message ->> 'severity', message ->> 'rule_name') END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.notification_subject(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.notification_subject(jsonb) IS
    'one line that says what a notification is about';

CREATE FUNCTION analytics_internal.notification_text(message jsonb) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE WHEN message ->> 'kind' = 'verification' THEN
    format(E'Somebody wants alerts to be sent to this address, as destination "%s".\nIf that is you, confirm it within a day with the code %s.\nOtherwise do nothing: no other mail will come.\n',
           message ->> 'destination_name', message ->> 'code')
ELSE
    format(E'%s\n\nRule: %s\nSeverity: %s\nCondition: %s %s %s\nValue when it fired: %s\nFired: %s\n',
           message ->> 'reason', message ->> 'rule_name', message ->> 'severity', message ->> 'metric_type',
           message ->> 'condition', message ->> 'threshold_value', coalesce(message ->> 'metric_value', 'no data'),
           message ->> 'triggered_at')
    || coalesce('Resolved: ' || (message ->> 'resolved_at') || E'\n', '')
    || format(E'Alert: %s\nWorkspace: %s\n', message ->> 'alert_id', message ->> 'workspace_id')
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.notification_text(jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.notification_text(jsonb) IS
    'a notification as plain text, for mail';

-- Slack's markup knows three special characters (Slack API, "Formatting text for app surfaces").
CREATE FUNCTION analytics_internal.slack_text(value text) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$ SELECT replace(replace(replace(value, '&', '&amp;'), '<', '&lt;'), '>', '&gt;') $$;
REVOKE EXECUTE ON FUNCTION analytics_internal.slack_text(text) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.slack_text(text) IS
    'text that means itself in Slack''s markup; nobody is mentioned by the name of a rule';

CREATE FUNCTION analytics_internal.notification_body(id uuid, channel text, message jsonb) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT CASE channel
    WHEN 'email' THEN analytics_internal.notification_text(message)
    WHEN 'webhook' THEN (message || jsonb_build_object('id', id))::text
    ELSE jsonb_build_object(
        'text', analytics_internal.slack_text(analytics_internal.notification_subject(message)),
        'blocks', jsonb_build_array(
            jsonb_build_object('type', 'header', 'text', jsonb_build_object(
                'type', 'plain_text', 'text', left(analytics_internal.notification_subject(message), 150))),
            jsonb_build_object('type', 'section', 'text', jsonb_build_object(
                'type', 'mrkdwn', 'text', analytics_internal.slack_text(left(message ->> 'reason', 2000)))),
            jsonb_build_object('type', 'context', 'elements', jsonb_build_array(jsonb_build_object(
                'type', 'mrkdwn', 'text', format('%s, alert %s',
                    coalesce(message ->> 'resolved_at', message ->> 'triggered_at'), message ->> 'alert_id'))))))::text
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.notification_body(uuid, text, jsonb) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.notification_body(uuid, text, jsonb) IS
    'what is sent: plain text for mail, blocks for Slack, the message with its id as JSON for a webhook';

-- The due messages, at most so many of one destination at a time: a slow one holds up its own only.
CREATE FUNCTION analytics_internal.due_notifications(most integer, most_of_one integer)
RETURNS TABLE (workspace_id uuid, id uuid)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
SELECT r.workspace_id, r.id
FROM (SELECT o.workspace_id, o.id, o.next_attempt_at, o.leased_until > now() AS is_leased,
             row_number() OVER (PARTITION BY o.workspace_id, o.destination_name
                                ORDER BY o.leased_until > now() DESC NULLS LAST, o.next_attempt_at, o.id) AS place
      FROM analytics.notification_outbox AS o
      WHERE o.status IN ('waiting', 'sending') AND o.next_attempt_at <= clock_timestamp()) AS r
WHERE r.place <= most_of_one AND r.is_leased IS NOT TRUE
ORDER BY r.next_attempt_at
LIMIT most
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.due_notifications(integer, integer) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.due_notifications(integer, integer) IS
    'up to so many messages that may be sent now, oldest first. Of one destination at most most_of_one, those being sent included';

CREATE FUNCTION analytics_internal.claim_notifications(worker text, most integer, lease interval)
RETURNS TABLE (workspace_id uuid, id uuid, attempt integer, channel text, address text, signing_secret text, subject text, body text)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
#variable_conflict use_column
DECLARE
    last_attempt CONSTANT integer := analytics.setting('alert_delivery_attempts')::integer;
BEGIN
    IF analytics_internal.has_cells() THEN
        RETURN QUERY
        SELECT r.* FROM analytics_internal.rows_of_cells(format(
                 'SELECT c.* FROM analytics_internal.claim_notifications(%L, %s, %L) AS c', worker,
                 greatest(most / greatest((SELECT count(*) FROM analytics.watermark), 1), 1), lease)) AS found (row),
             jsonb_to_record(found.row) AS r (workspace_id uuid, id uuid, attempt integer, channel text, address text, signing_secret text, subject text, body text);
        RETURN;
    END IF;
    -- What cannot be delivered any more: its destination is gone, or the notifier died each time it tried.
    UPDATE analytics.notification_outbox AS o
    SET status = 'dead', leased_by = NULL, leased_until = NULL,
        last_error = CASE WHEN o.attempts >= last_attempt THEN coalesce(o.last_error, 'the notifier ended while sending')
                          ELSE 'the destination does not exist or is not verified' END
    WHERE (o.workspace_id, o.id) IN (
        SELECT d.workspace_id, d.id FROM analytics.notification_outbox AS d
        WHERE d.status IN ('waiting', 'sending') AND d.next_attempt_at <= clock_timestamp()
          AND coalesce(d.leased_until <= clock_timestamp(), true)
          AND (d.attempts >= last_attempt
               OR NOT EXISTS (SELECT FROM analytics.notification_destinations AS n
                              WHERE n.workspace_id = d.workspace_id AND n.name = d.destination_name
                                AND n.channel = d.channel AND (n.is_verified OR d.kind = 'verification')))
        FOR UPDATE SKIP LOCKED);
    RETURN QUERY
    WITH due AS MATERIALIZED (
        SELECT o.workspace_id, o.id
        FROM analytics_internal.due_notifications(most, 4) AS d
        JOIN analytics.notification_outbox AS o ON o.workspace_id = d.workspace_id AND o.id = d.id
        WHERE o.status IN ('waiting', 'sending') AND coalesce(o.leased_until <= clock_timestamp(), true)
        FOR UPDATE OF o SKIP LOCKED
    )
    UPDATE analytics.notification_outbox AS o
    SET status = 'sending', leased_by = worker, leased_until = clock_timestamp() + lease, attempts = o.attempts + 1
    FROM due, analytics.notification_destinations AS n
    WHERE o.workspace_id = due.workspace_id AND o.id = due.id
      AND n.workspace_id = o.workspace_id AND n.name = o.destination_name
    RETURNING o.workspace_id, o.id, o.attempts, o.channel, n.address, n.signing_secret,
              analytics_internal.notification_subject(o.message),
              analytics_internal.notification_body(o.id, o.channel, o.message);
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.claim_notifications(text, integer, interval) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.claim_notifications(text, integer, interval) IS
    'leases up to so many due messages to a notifier, with what it needs to send them (secrets included). Those whose lease ran out are due again. Messages that cannot be delivered become dead';

CREATE FUNCTION analytics_internal.record_delivery(
    worker text, workspace_id uuid, id uuid, is_delivered boolean, is_final boolean, response_status integer,
    latency_ms bigint, error text, retry_after interval)
RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
#variable_conflict use_variable
DECLARE
    new_status text;
BEGIN
    IF analytics_internal.has_cells() THEN
        RETURN analytics_internal.in_cell_of(workspace_id, format('SELECT to_jsonb(analytics_internal.record_delivery(%L, %L, %L, %L, %L, %L, %L, %L, %L))',
            worker, workspace_id, id, is_delivered, is_final, response_status, latency_ms, error, retry_after)) #>> '{}';
    END IF;
    UPDATE analytics.notification_outbox AS o
    SET status = CASE WHEN is_delivered THEN 'delivered'
                      WHEN is_final OR o.attempts >= analytics.setting('alert_delivery_attempts')::integer THEN 'dead'
                      ELSE 'waiting' END,
        delivered_at = CASE WHEN is_delivered THEN clock_timestamp() END,
        -- Exponential backoff from 5 seconds to an hour, half of it random so that retries spread.
        next_attempt_at = CASE WHEN is_delivered THEN o.next_attempt_at
            ELSE clock_timestamp() + greatest(retry_after,
                least(interval '5 seconds' * 2 ^ least(o.attempts - 1, 20), interval '1 hour') * (0.5 + random() / 2)) END,
        leased_by = NULL, leased_until = NULL,
        last_error = CASE WHEN is_delivered THEN NULL ELSE left(error, 500) END,
        response_status = record_delivery.response_status, latency_ms = record_delivery.latency_ms
    WHERE o.workspace_id = workspace_id AND o.id = id AND o.status = 'sending' AND o.leased_by = worker
    RETURNING o.status INTO new_status;
    RETURN new_status;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.record_delivery(text, uuid, uuid, boolean, boolean, integer, bigint, text, interval) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.record_delivery(text, uuid, uuid, boolean, boolean, integer, bigint, text, interval) IS
    'notes the outcome of an attempt: delivered, dead (is_final, or attempts used up), or waiting for the next one, not before retry_after; returns the new status, NULL if the lease was no longer the worker''s';
