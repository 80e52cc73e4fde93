# A dump of a database with the extension restores without an error: partitions made by CREATE EXTENSION and at
# run time, their indexes, policies and rows, and every table that holds user rows. A restore changes no value.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\njit = off\n");
$node->start;
my $dir = $node->basedir;

sub create_database
{
	my ($name, $options) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, ($options // '') . ' CREATE EXTENSION shadow_analytics');
}

# A while ago; the partition of the day itself is missing, so its events wait in the default partition.
my $day = $node->safe_psql('postgres', q{SELECT (now() AT TIME ZONE 'UTC')::date - 20});
my $partition = 'user_activity_' . $node->safe_psql('postgres', qq{SELECT to_char(DATE '$day' + 3, 'YYYYMMDD')});
sub with_day { return $_[0] =~ s/%day%/DATE '$day'/gr }
create_database('origin');
$node->safe_psql('origin', with_day(q{
	CREATE TABLE public.workspace_members (workspace_id uuid, user_id uuid, rank text);
	CREATE FUNCTION public.archive(partition regclass) RETURNS void LANGUAGE sql AS '';
	SELECT analytics.setup_roles();
	CREATE ROLE operator; SELECT analytics.grant_operator('operator');
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
	FROM analytics.setting_definitions();
	INSERT INTO analytics.retention_policies
	SELECT table_name, coalesce(keep_days, 4000) + 1, CASE table_name WHEN 'user_activity' THEN 'public.archive' END FROM analytics.retention_defaults();
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
	SELECT analytics.index_closed_partitions();
	INSERT INTO analytics.credit_prices (model, price) VALUES ('m', 0.5);
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
for (1 .. 3) { $node->safe_psql('origin', q{CALL analytics.maintain()}) }
# Late events, which wait for repair; a sealed day; and watermarks in the midst of closing.
$node->safe_psql('origin', with_day(q{
	INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, created_at) VALUES
	    (md5('w1')::uuid, md5('u1')::uuid, 'login', %day%::timestamp AT TIME ZONE 'UTC'), (md5('w1')::uuid, md5('u1')::uuid, 'login', '1980-01-01');
	INSERT INTO analytics.sealed_days VALUES (md5('w9')::uuid, '2019-01-01', 7);
	UPDATE analytics.watermark SET marked_until = marked_until + interval '1 hour', closing_xid = pg_current_xact_id();
	INSERT INTO analytics.job_runs (step) VALUES ('cleanup')}));

# Every row of every table that a restore must bring back, as text; and what else was changed.
my $tables = $node->safe_psql('origin', q{SELECT string_agg(oid::regclass::text, ' ' ORDER BY relname) FROM pg_class
	WHERE relnamespace = 'analytics'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition});
sub content_of
{
	my ($database, $partitions) = @_;
	my $query = join ' UNION ALL ', map { "SELECT '$_', r::text FROM $_ AS r" } split / /, $tables;
	$query =~ s/'analytics.user_activity'/tableoid::regclass::text/ if $partitions;
	return $node->safe_psql($database, qq{SET extra_float_digits = 3; SET TimeZone = 'UTC'; SELECT * FROM ($query) AS t (name, r) ORDER BY 1, r COLLATE "C"});
}
my $views = q{SELECT md5(string_agg(r, ',' ORDER BY r COLLATE "C")) FROM (SELECT r::text FROM analytics.mv_workspace_summary AS r
	UNION ALL SELECT r::text FROM analytics.mv_error_trends AS r) AS t (r)};
my $privileges = q{
	SELECT c.relname, a.grantee::regrole, a.privilege_type FROM pg_class AS c, aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS a
	WHERE c.relnamespace = 'analytics'::regnamespace
	UNION ALL SELECT c.relname || '.' || t.attname, a.grantee::regrole, a.privilege_type FROM pg_class AS c JOIN pg_attribute AS t ON t.attrelid = c.oid, aclexplode(t.attacl) AS a
	WHERE c.relnamespace = 'analytics'::regnamespace
	UNION ALL SELECT p.oid::regprocedure::text, a.grantee::regrole, a.privilege_type FROM pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
	WHERE p.pronamespace IN ('analytics'::regnamespace, 'analytics_internal'::regnamespace)
	UNION ALL SELECT n.nspname, a.grantee::regrole, a.privilege_type FROM pg_namespace AS n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a WHERE n.nspname LIKE 'analytics%'
	ORDER BY 1, 2, 3};
my $objects = q{
	SELECT c.relname, c.relrowsecurity::text, pg_get_expr(c.relpartbound, c.oid),
	       (SELECT string_agg(pg_get_indexdef(indexrelid) || obj_description(indexrelid), E'\n' ORDER BY pg_get_indexdef(indexrelid))
	        FROM pg_index WHERE indrelid = c.oid),
	       (SELECT string_agg(polname, ',') FROM pg_policy WHERE polrelid = c.oid),
	       (SELECT string_agg(tgname, ',' ORDER BY tgname) FROM pg_trigger WHERE tgrelid = c.oid),
	       (SELECT count(*) FROM pg_depend WHERE objid = c.oid AND deptype = 'e')
	FROM pg_class AS c WHERE c.relname LIKE 'user\_activity%' AND c.relkind IN ('r', 'p') ORDER BY 1 };
my $origin_content = content_of('origin', 1);
my $origin_objects = $node->safe_psql('origin', $objects);
my $origin_privileges = $node->safe_psql('origin', $privileges);
like($origin_objects, qr/$partition.*no_direct_access.*check_event/s, 'the origin has what is compared');
for my $table (split / /, $tables)
{
	like($origin_content, qr/^$table(_\w+)?\|/m, "$table has rows") unless $table =~ /user_cohorts/;
}
is($node->safe_psql('origin', 'SELECT name FROM analytics.setting_values WHERE is_default'), '', 'every setting is changed');

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

sub check_restored
{
	my ($database, $how, $has_privileges) = (@_, 1);
	is_same(content_of($database, 1), $origin_content, "$how: every row of every table is the same, and none was added");
	is_same($node->safe_psql($database, $objects), $origin_objects, "$how: every partition is the same");
	$node->safe_psql($database, 'SELECT analytics.post_restore()') unless $has_privileges;
	is_same($node->safe_psql($database, $privileges), $origin_privileges, "$how: every privilege is the same");
	check_afterwards($database, $how);
}

# post_restore() and the next maintain() go on as in the origin.
sub check_afterwards
{
	my ($database, $how) = @_;
	$node->safe_psql($database, 'SELECT analytics.post_restore()');
	is($node->safe_psql($database, $views), $node->safe_psql('origin', $views), "$how: after post_restore() the views are the same");
	my (undef, undef, $warning) = $node->psql($database, 'CALL analytics.maintain(); CALL analytics.maintain()');
	is($warning, '', "$how: maintain() goes on");
	is($node->safe_psql($database, q{SELECT count(*) FROM analytics.dirty_hours}), '0', "$how: and repairs what was noted");
}

sub dump_origin
{
	my ($file, @options) = @_;
	$node->command_ok([ 'pg_dump', '-f', "$dir/$file", @options, 'origin' ], "pg_dump @options");
}

sub restore_plain
{
	my ($database, $file) = @_;
	$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $database, '-f', "$dir/$file" ],
		"restore of $file without an error");
}

dump_origin('plain.sql');
$node->safe_psql('postgres', 'CREATE DATABASE plain');
restore_plain('plain', 'plain.sql');
check_restored('plain', 'plain dump');

dump_origin('custom.dump', '-Fc');
$node->safe_psql('postgres', 'CREATE DATABASE custom');
$node->command_ok([ 'pg_restore', '--exit-on-error', '-d', 'custom', "$dir/custom.dump" ], 'pg_restore without an error');
check_restored('custom', 'custom dump');

$node->safe_psql('postgres', 'CREATE DATABASE one_transaction');
$node->command_ok([ 'pg_restore', '-1', '-e', '-d', 'one_transaction', "$dir/custom.dump" ], 'pg_restore -1 -e');
check_restored('one_transaction', 'in one transaction');

dump_origin('schema.sql', '--schema=analytics', '--extension=shadow_analytics');
$node->safe_psql('postgres', 'CREATE DATABASE one_schema');
restore_plain('one_schema', 'schema.sql');
check_restored('one_schema', 'dump of the schema with the extension');

# Data alone go into a fresh extension, whose partitions of other days stay empty: days without one wait in the
# default partition, so the rows are compared and not where they lie.
for my $option ([], ['--load-via-partition-root'])
{
	my $database = @$option ? 'via_root' : 'data_only';
	dump_origin("$database.sql", '--schema=analytics', '--data-only', @$option);
	create_database($database);
	$node->safe_psql($database, with_day(q{SELECT analytics.create_partitions(%day% - 1, %day% + 40)})) unless @$option;
	restore_plain($database, "$database.sql");
	is_same(content_of($database), content_of('origin'), "data only @$option: every row of every table is the same");
}

# The three dumps of the description, and both of its restores, as printed.
$node->command_ok([ 'sh', '-c', "cd '$dir' && export DATABASE_URL='" . $node->connstr('origin') . q{' &&
	pg_dump "$DATABASE_URL" --schema=analytics --schema-only > analytics_schema.sql &&
	pg_dump "$DATABASE_URL" --schema=analytics --data-only > analytics_data.sql &&
	pg_dump "$DATABASE_URL" --schema=analytics > analytics_full.sql} ], 'the three dumps');
for my $files ([qw(analytics_schema.sql analytics_data.sql)], [qw(analytics_full.sql)])
{
	my $database = 'restored_' . scalar @$files;
	create_database($database);
	is($node->safe_psql($database, 'SELECT analytics.prepare_restore() > 7'), 't', 'the fresh partitions are removed');
	my $errors = '';
	for my $file (@$files)
	{
		my ($out, $error) = run_command([ 'psql', '-X', '-q', '-d', $node->connstr($database), '-f', "$dir/$file" ]);
		$errors .= join '', map { "$_\n" } grep { /ERROR/ } split /\n/, $error;
	}
	like($errors, qr/\A[^\n]*schema "analytics" already exists\n\z/, "@$files: the schema exists, nothing else is an error");
	check_restored($database, "@$files", 0);
	my (undef, undef, $error) = $node->psql($database, 'SELECT analytics.prepare_restore()');
	like($error, qr/user_activity is not empty.*DETAIL.*HINT/s, 'prepare_restore() drops no events');
}

# Without row security, as a dump has it, CREATE EXTENSION makes no partition.
create_database('bare', 'SET row_security = off;');
is($node->safe_psql('bare', q{SELECT count(*) FROM pg_inherits WHERE inhparent = 'analytics.user_activity'::regclass}),
	'0', 'no partition under row_security = off');

# A two-byte encoding: texts are cut between characters.
$node->safe_psql('postgres', q{CREATE DATABASE euc_jp ENCODING 'EUC_JP' LOCALE 'C' TEMPLATE template0});
$node->safe_psql('euc_jp', 'CREATE EXTENSION shadow_analytics');
is($node->safe_psql('euc_jp', q{
	SET client_encoding = 'UTF8';
	INSERT INTO analytics.user_activity (user_id, event_type, event_name, page_path)
	VALUES (md5('u')::uuid, 'login', 'x' || repeat(U&'\3042', 200), repeat(U&'\3042', 255));
	SELECT length(event_name), octet_length(event_name), length(page_path), octet_length(page_path)
	FROM analytics.user_activity}), '100|199|255|510', 'texts are cut between characters in EUC_JP');

$node->stop;
done_testing();
