# A dump of a database with the extension restores without an error: partitions made by CREATE EXTENSION and at
# run time, their indexes, policies and rows, and every table that holds user rows. A restore changes no value.
use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin;
use FullDatabase;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init(extra => [ '--encoding=UTF8', '--locale=C' ]); # whatever the environment says
$node->append_conf('postgresql.conf', "fsync = off\nautovacuum = off\njit = off\n");
$node->start;
my $dir = $node->basedir;

sub create_database
{
	my ($name, $options) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, ($options // '') . ' CREATE EXTENSION shadow_analytics');
}

my $day = FullDatabase::first_day($node);
my $partition = 'user_activity_' . $node->safe_psql('postgres', qq{SELECT to_char(DATE '$day' + 3, 'YYYYMMDD')});
create_database('origin');
FullDatabase::fill($node, 'origin', $day);

my $origin_content = FullDatabase::content($node, 'origin', 1);
my $origin_objects = FullDatabase::partitions($node, 'origin');
my $origin_privileges = FullDatabase::privileges($node, 'origin');
like($origin_objects, qr/$partition.*no_direct_access.*check_event/s, 'the origin has what is compared');
for my $table (sort keys %{ FullDatabase::columns($node, 'origin') })
{
	like($origin_content, qr/^$table(_\w+)?\|/m, "$table has rows");
}
is($node->safe_psql('origin', 'SELECT name FROM analytics.setting_values WHERE is_default'), '', 'every setting is changed');

sub check_restored
{
	my ($database, $how, $has_privileges) = (@_, 1);
	FullDatabase::is_same(FullDatabase::content($node, $database, 1), $origin_content, "$how: every row of every table is the same, and none was added");
	FullDatabase::is_same(FullDatabase::partitions($node, $database), $origin_objects, "$how: every partition is the same");
	$node->safe_psql($database, 'SELECT analytics.post_restore()') unless $has_privileges;
	FullDatabase::is_same(FullDatabase::privileges($node, $database), $origin_privileges, "$how: every privilege is the same");
	is($node->safe_psql($database, q{SET ROLE dashboards; SELECT count(*) FROM analytics.daily_metrics}),
		$node->safe_psql($database, 'SELECT count(*) FROM analytics.daily_metrics'), "$how: a reader of all reads all");
	is($node->safe_psql($database, q{SET ROLE dashboards_w1; SELECT DISTINCT workspace_id = md5('w1')::uuid FROM analytics.daily_metrics}), 't',
		"$how: a reader of one workspace reads that");
	check_afterwards($database, $how);
}

# post_restore() and the next maintain() go on as in the origin.
sub check_afterwards
{
	my ($database, $how) = @_;
	$node->safe_psql($database, 'SELECT analytics.post_restore()');
	is(FullDatabase::views($node, $database), FullDatabase::views($node, 'origin'), "$how: after post_restore() the views are the same");
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
	$node->safe_psql($database, qq{SELECT analytics.create_partitions(DATE '$day' - 1, DATE '$day' + 40)}) unless @$option;
	restore_plain($database, "$database.sql");
	FullDatabase::is_same(FullDatabase::content($node, $database), FullDatabase::content($node, 'origin'), "data only @$option: every row of every table is the same");
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

# Where I is not the capital of i: names and words of ours are compared as in English.
$node->safe_psql('postgres', q{CREATE DATABASE turkish ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'tr-TR' LOCALE 'C' TEMPLATE template0});
is($node->safe_psql('turkish', q{
	CREATE EXTENSION shadow_analytics;
	INSERT INTO analytics.settings VALUES ('email_domains_allowed', 'MAIL.example, info.example');
	SELECT lower('I') = 'i', analytics_internal.is_mail_allowed('a@mail.example'), analytics_internal.is_mail_allowed('a@INFO.example');
	SELECT action FROM analytics.audit_log;
	SELECT analytics_internal.mask_secrets('{"API_KEY": "x", "Authorization": "y"}')}),
	qq{f|t|t\ninsert\n{"API_KEY": "***", "Authorization": "***"}}, 'in Turkish too');

$node->stop;
done_testing();
