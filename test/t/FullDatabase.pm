# A database in which every table of the extension holds rows and every setting differs from its default; and what of it
# is the same after a restore or an upgrade.
package FullDatabase;
use strict;
use warnings;

use Test::More;

# The day the events begin with, a while ago; its partition is missing, so its events wait in the default partition.
sub first_day
{
	my ($node) = @_;
	return $node->safe_psql('postgres', q{SELECT (now() AT TIME ZONE 'UTC')::date - 20});
}

# Fills a database in which the extension was just created.
sub fill
{
	my ($node, $database, $day) = @_;
	my $with_day = sub { return $_[0] =~ s/%day%/DATE '$day'/gr };
	$node->safe_psql($database, $with_day->(q{
		CREATE TABLE public.workspace_members (workspace_id uuid, user_id uuid, rank text);
		CREATE FUNCTION public.archive(partition regclass) RETURNS void LANGUAGE sql AS '';
		SELECT analytics.setup_roles();
		SELECT 'CREATE ROLE operator' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'operator') \gexec
		SELECT analytics.grant_operator('operator');
		SELECT 'CREATE ROLE dashboards' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dashboards') \gexec
		SELECT 'CREATE ROLE dashboards_w1' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'dashboards_w1') \gexec
		SELECT analytics.grant_reader('dashboards'), analytics.grant_reader('dashboards_w1', md5('w1')::uuid);
		INSERT INTO analytics.workspaces VALUES (md5('w1')::uuid, 'One');
		INSERT INTO analytics.agents VALUES (md5('w1')::uuid, md5('a1')::uuid, 'Agent');
		-- Every setting differs from its default.
		INSERT INTO analytics.settings
		SELECT name, CASE type
			WHEN 'integer' THEN CASE WHEN default_value = split_part(allowed, '..', 1) THEN (default_value::integer + 1)::text
			                         ELSE greatest(default_value::integer / 2, split_part(allowed, '..', 1)::integer)::text END
			WHEN 'real' THEN '0.25'
			WHEN 'boolean' THEN (NOT default_value::boolean)::text
			WHEN 'choice' THEN (SELECT c FROM unnest(string_to_array(allowed, ', ')) AS c WHERE c <> default_value AND c <> 'hash' ORDER BY c LIMIT 1)
			WHEN 'currency' THEN 'EUR'
			ELSE 'example.org' END
		FROM analytics_internal.setting_definitions();
		INSERT INTO analytics.retention_policies
		SELECT table_name, coalesce(keep_days, 4000) + 1, CASE table_name WHEN 'user_activity' THEN 'public.archive' END FROM analytics_internal.retention_defaults();
		UPDATE analytics.retention_policies SET keep_days = NULL WHERE table_name = 'user_activity';
		INSERT INTO analytics.workspace_retention VALUES (md5('w1')::uuid, 'daily_metrics', 4000);
		INSERT INTO analytics.membership (role_column) VALUES ('rank') ON CONFLICT (id) DO UPDATE SET role_column = 'rank';
		SELECT analytics.rotate_ip_secret();

		SELECT analytics.create_partitions(%day% + 1, %day% + 3);
		INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, ip_address, metadata, created_at)
		SELECT md5('w' || i % 3)::uuid, md5('u' || i % 7)::uuid, 'agent_run', repeat('n', 100), '192.0.2.1',
		       '{"status": "failed", "runtime": 1.5, "credits": 0.1, "revenue": 9.99, "error_message": "\u00e4 \\\\ \u0001"}'::jsonb || jsonb_build_object('agent_id', md5('a' || i % 2)),
		       %day%::timestamp AT TIME ZONE 'UTC' + (i + 12) * interval '1 hour' FROM generate_series(1, 100) AS i;
		INSERT INTO analytics.user_activity (user_id, event_type) VALUES (md5('u')::uuid, 'login');
		INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata) VALUES (md5('w1')::uuid, md5('u1')::uuid, 'agent_run', '{"status": "failed"}');
		SELECT analytics_internal.index_closed_partitions();
		INSERT INTO analytics.credit_prices (model, price) VALUES ('m', 0.5);
		INSERT INTO analytics.token_prices (model, input_price, output_price) VALUES ('m', 0.5, 2);
		INSERT INTO analytics.segments (workspace_id, name, users) VALUES (md5('w1')::uuid, 'the first', '{0-3}');
		INSERT INTO analytics.annotations (workspace_id, title) VALUES (md5('w1')::uuid, 'A release');
		INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from) VALUES
		    (md5('w1')::uuid, 'Asia/Tokyo', '-infinity'),
		    (md5('w1')::uuid, 'Europe/Berlin', analytics.day_start('2025-06-01', 'Europe/Berlin')),
		    (md5('w1')::uuid, 'UTC', '2025-07-02 00:00+00');
		INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value, evaluation_window_minutes, notification_channels, notification_recipients)
		VALUES (md5('w1')::uuid, 'failures', 'failed_runs', 'greater_than', 0, 1440, '["webhook"]', '[]');
		SELECT analytics.set_notification_destination(md5('w1')::uuid, 'hook', 'webhook', 'https://example.org/hook', 'a secret of sixteen');
		INSERT INTO analytics.notification_outbox (workspace_id, kind, destination_name, channel, message)
		VALUES (md5('w1')::uuid, 'verification', 'hook', 'webhook', '{}');
		SELECT analytics.evaluate_alert_rules();
		UPDATE analytics.alert_history SET notes = 'seen', acknowledged_by = md5('u1')::uuid, acknowledged_at = now();
		SELECT analytics.forget_user(md5('u2')::uuid);
		-- What only other time zone data would call a midnight.
		SET row_security = off;
		INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from)
		VALUES (md5('w2')::uuid, 'Europe/Berlin', '2025-06-01 12:34+00')}));
	$node->safe_psql($database, 'CALL analytics.maintain()') for 1 .. 3;
	$node->safe_psql($database, $with_day->(q{SELECT analytics.aggregate_user_cohorts('daily', %day% + 1)}));
	# Late events, which wait for repair; a sealed day; and watermarks in the midst of closing.
	$node->safe_psql($database, $with_day->(q{
		INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at) VALUES
		    (md5('w1')::uuid, md5('u1')::uuid, 'login', %day%::timestamp AT TIME ZONE 'UTC'), (md5('w1')::uuid, md5('u1')::uuid, 'login', '1980-01-01');
		INSERT INTO analytics.sealed_days VALUES (md5('w9')::uuid, '2019-01-01', 7);
		INSERT INTO analytics.pending_buckets VALUES
		    (md5('w9')::uuid, 'day', '2019-02-01', 1, '2019-03-01', 3, '23514: refused', '2019-03-02', '2019-03-03', '2019-02-01 00:00+00', '2019-02-02 00:00+00');
		INSERT INTO analytics.pending_buckets (workspace_id, kind, metric_date)
		VALUES (md5('w9')::uuid, 'totals', '2019-02-01'), (md5('w9')::uuid, 'cohorts', '2019-02-01');
		UPDATE analytics.watermark SET closed_until = closed_until - interval '1 hour', closing_xid = pg_current_xact_id();
		INSERT INTO analytics.job_runs (step) VALUES ('cleanup')}));
	return;
}

# Every row of every table that holds users' rows, as text; with partitions also where it lies. Of all columns, or of
# those of another call of columns().
sub content
{
	my ($node, $database, $partitions, $columns) = @_;
	$columns //= columns($node, $database);
	my $query = join ' UNION ALL ', map { "SELECT '$_', ROW(" . join(', ', map { "r.$_" } @{ $columns->{$_} }) . ")::text FROM $_ AS r" } sort keys %$columns;
	$query =~ s/'analytics.user_activity'/tableoid::regclass::text/ if $partitions;
	return $node->safe_psql($database, qq{SET extra_float_digits = 3; SET TimeZone = 'UTC'; SELECT * FROM ($query) AS t (name, r) ORDER BY 1, r COLLATE "C"});
}

# The columns of these tables, by table.
sub columns
{
	my ($node, $database) = @_;
	return { map { my ($table, @columns) = split / /; $table => \@columns } split /\n/, $node->safe_psql($database, q{
		SELECT c.oid::regclass || ' ' || string_agg(quote_ident(a.attname), ' ' ORDER BY a.attnum)
		FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
		WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
		  AND NOT EXISTS (SELECT FROM pg_extension AS e, unnest(e.extconfig, e.extcondition) AS u (table_oid, condition)
		                  WHERE u.table_oid = c.oid AND u.condition = 'WHERE false') -- means nothing in another cluster
		GROUP BY c.oid}) };
}

# The rows of materialized views.
sub views
{
	my ($node, $database) = @_;
	my $rows = join ' UNION ALL ', map { "SELECT '$_' || r::text FROM analytics.$_ AS r" }
	  split /\n/, $node->safe_psql($database, q{SELECT matviewname FROM pg_matviews WHERE schemaname = 'analytics'});
	return $node->safe_psql($database, qq{SELECT md5(string_agg(r, ',' ORDER BY r COLLATE "C")) FROM ($rows) AS t (r)});
}

sub privileges
{
	my ($node, $database) = @_;
	return $node->safe_psql($database, q{
		SELECT c.relname, a.grantee::regrole, a.privilege_type FROM pg_class AS c, aclexplode(coalesce(c.relacl, acldefault(CASE c.relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, c.relowner))) AS a
		WHERE c.relnamespace = 'analytics'::regnamespace
		UNION ALL SELECT c.relname || '.' || t.attname, a.grantee::regrole, a.privilege_type FROM pg_class AS c JOIN pg_attribute AS t ON t.attrelid = c.oid, aclexplode(t.attacl) AS a
		WHERE c.relnamespace = 'analytics'::regnamespace
		UNION ALL SELECT p.oid::regprocedure::text, a.grantee::regrole, a.privilege_type FROM pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
		WHERE p.pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace)
		UNION ALL SELECT n.nspname, a.grantee::regrole, a.privilege_type FROM pg_namespace AS n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a WHERE n.nspname LIKE 'analytics%'
		ORDER BY 1, 2, 3});
}

# user_activity and its partitions, with bounds, indexes, policies, triggers and whether they are members.
sub partitions
{
	my ($node, $database) = @_;
	return $node->safe_psql($database, q{
		SELECT c.relname, c.relrowsecurity::text, pg_get_expr(c.relpartbound, c.oid),
		       (SELECT string_agg(pg_get_indexdef(indexrelid) || obj_description(indexrelid, 'pg_class'), E'\n' ORDER BY pg_get_indexdef(indexrelid))
		        FROM pg_index WHERE indrelid = c.oid),
		       (SELECT string_agg(polname, ',' ORDER BY polname) FROM pg_policy WHERE polrelid = c.oid),
		       (SELECT string_agg(tgname, ',' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = c.oid),
		       (SELECT count(*) FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e')
		FROM pg_class AS c WHERE c.relname LIKE 'user\_activity%' AND c.relkind IN ('r', 'p') ORDER BY 1 });
}

# Equal, or what only one side has.
sub is_same
{
	my ($got, $expected, $name) = @_;
	my (%got, %expected);
	@got{ split /\n/, $got } = ();
	@expected{ split /\n/, $expected } = ();
	ok($got eq $expected, $name) or diag(join "\n", (map { "- $_" } grep { !exists $got{$_} } sort keys %expected),
		(map { "+ $_" } grep { !exists $expected{$_} } sort keys %got));
}

1;
