-- Destinations of notifications, and the functions of shadow-analytics-notifier.

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
    domains text[] := regexp_split_to_array(lower(analytics.setting('email_domains_allowed')), '\s*,\s*');
BEGIN
    RETURN '*' = ANY (domains) OR lower(split_part(address, '@', 2)) = ANY (domains);
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
    'queues the mail with the code that verifies an address, at most 5 an hour and workspace (54000); returns the code''s SHA-256';

CREATE FUNCTION analytics_internal.check_address(destination analytics.notification_destinations) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    allowed CONSTANT text := analytics_internal.address_problem(destination.channel, destination.address);
BEGIN
    -- The values themselves are secret and stay out of errors, which are logged.
    IF allowed IS NOT NULL THEN
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
REVOKE EXECUTE ON FUNCTION analytics_internal.check_address(analytics.notification_destinations) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.check_address(analytics.notification_destinations) IS
    'refuses a wrong address or secret (22023), without repeating it, and a tenant''s mail to a domain that is not allowed (42501)';

CREATE FUNCTION analytics_internal.destination_check() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    is_tenant CONSTANT boolean := analytics.current_user_id() IS NOT NULL;
BEGIN
    IF NOT current_setting('row_security')::boolean THEN
        RETURN NEW; -- a dump is restored
    END IF;
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
    NEW.updated_at := CASE WHEN TG_OP = 'INSERT' THEN NEW.updated_at ELSE now() END;
    RETURN NEW;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.destination_check() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.destination_check() IS
    'row trigger: checks address and secret; what tenants enter as mail address is unverified, and gets a code to confirm it';
CREATE TRIGGER check_destination BEFORE INSERT OR UPDATE OF workspace_id, name, channel, address, signing_secret
    ON analytics.notification_destinations
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.destination_check();
COMMENT ON TRIGGER check_destination ON analytics.notification_destinations IS
    'checks address and secret; mail addresses of tenants start unverified';

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
    'row trigger: verifies a destination when the hash of its code is written; another one is an error (22023)';
CREATE TRIGGER check_verification BEFORE UPDATE OF verification_hash ON analytics.notification_destinations
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.verification_check();
COMMENT ON TRIGGER check_verification ON analytics.notification_destinations IS
    'verifies a destination when the hash of its code is written';

-- What people change is audited; what the evaluation counts is not, nor any address or secret.
CREATE TRIGGER audit_change AFTER INSERT OR DELETE OR UPDATE OF workspace_id, name, description, is_active, scope,
        metric_type, condition, threshold_value, threshold_max, evaluation_window_minutes, for_minutes,
        cooldown_minutes, severity, no_data, notification_channels, notification_recipients
    ON analytics.alert_rules
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.audit_change();
COMMENT ON TRIGGER audit_change ON analytics.alert_rules IS
    'writes changes to analytics.audit_log';
CREATE TRIGGER audit_truncate AFTER TRUNCATE ON analytics.alert_rules
    FOR EACH STATEMENT EXECUTE FUNCTION analytics_internal.audit_change();
COMMENT ON TRIGGER audit_truncate ON analytics.alert_rules IS
    'writes truncation to analytics.audit_log';

-- Whose an acknowledgment or snooze is, and what it replaced; what was found stands in the episode itself.
CREATE FUNCTION analytics_internal.audit_acknowledgment() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM analytics_internal.write_audit(
        NEW.workspace_id,
        CASE WHEN NEW.acknowledged_at IS NOT DISTINCT FROM OLD.acknowledged_at THEN 'snooze'
             WHEN NEW.acknowledged_at IS NULL THEN 'unacknowledge' ELSE 'acknowledge' END,
        'analytics.alert_history',
        jsonb_build_object('id', OLD.id, 'acknowledged_by', OLD.acknowledged_by, 'acknowledged_at', OLD.acknowledged_at, 'snoozed_until', OLD.snoozed_until),
        jsonb_build_object('id', NEW.id, 'acknowledged_by', NEW.acknowledged_by, 'acknowledged_at', NEW.acknowledged_at, 'snoozed_until', NEW.snoozed_until));
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_acknowledgment() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_acknowledgment() IS
    'row trigger: notes in analytics.audit_log who acknowledged or snoozed an episode, or took that back';
CREATE TRIGGER audit_acknowledgment AFTER UPDATE OF acknowledged_at, snoozed_until ON analytics.alert_history
    FOR EACH ROW
    WHEN (OLD.acknowledged_at IS DISTINCT FROM NEW.acknowledged_at OR OLD.snoozed_until IS DISTINCT FROM NEW.snoozed_until)
    EXECUTE FUNCTION analytics_internal.audit_acknowledgment();
COMMENT ON TRIGGER audit_acknowledgment ON analytics.alert_history IS
    'notes acknowledgments and snoozes in analytics.audit_log';

CREATE FUNCTION analytics_internal.audited_destination(destination analytics.notification_destinations) RETURNS jsonb
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT jsonb_build_object('name', destination.name, 'channel', destination.channel, 'is_verified', destination.is_verified)
WHERE destination.name IS NOT NULL
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audited_destination(analytics.notification_destinations) FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audited_destination(analytics.notification_destinations) IS
    'what the audit log may know of a destination: name, channel, is_verified';

CREATE FUNCTION analytics_internal.audit_destination() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT analytics_internal.is_restore(TG_RELID) THEN
        PERFORM analytics_internal.write_audit(
            CASE WHEN TG_OP = 'DELETE' THEN OLD.workspace_id ELSE NEW.workspace_id END, lower(TG_OP),
            'analytics.notification_destinations', analytics_internal.audited_destination(OLD),
            analytics_internal.audited_destination(NEW));
    END IF;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION analytics_internal.audit_destination() FROM PUBLIC;
COMMENT ON FUNCTION analytics_internal.audit_destination() IS
    'row trigger: notes in analytics.audit_log that a destination has changed, but neither address nor secret; not a restore';
CREATE TRIGGER audit_change AFTER INSERT OR UPDATE OR DELETE ON analytics.notification_destinations
    FOR EACH ROW EXECUTE FUNCTION analytics_internal.audit_destination();
COMMENT ON TRIGGER audit_change ON analytics.notification_destinations IS
    'notes changes in analytics.audit_log, without address and secret';

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
    'makes or replaces a destination: channel email, slack or webhook; address or https URL, which nobody can read back through the API; signing_secret (16 to 200 characters) signs webhooks. A mail address set by a tenant must be of an allowed domain (42501) and be verified by the code mailed to it. A wrong value is an error (22023, 23514)';

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
    'confirms a mail address with the code mailed to it, within a day; a wrong code is an error (22023), an unknown destination too (P0002)';

CREATE VIEW analytics.notification_destination_list WITH (security_barrier = true) AS
SELECT d.workspace_id, d.name, d.channel,
       CASE d.channel WHEN 'email' THEN left(d.address, 1) || '***@' || split_part(d.address, '@', 2)
                      ELSE 'https://' || split_part(d.address, '/', 3) || '/***' END AS masked_address,
       d.signing_secret IS NOT NULL AS is_signed, d.is_verified, d.created_at, d.updated_at
FROM analytics.notification_destinations AS d
WHERE d.workspace_id = ANY (analytics.managed_workspace_ids());
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
    'up to so many messages that may be sent now, oldest first; of one destination at most most_of_one, those being sent included';

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
    'leases up to so many due messages to a notifier, with what it needs to send them (secrets included); those whose lease ran out are due again. Messages that cannot be delivered become dead';

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
