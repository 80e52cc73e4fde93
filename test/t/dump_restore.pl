# A dump of a database with the extension restores without an error: partitions made by CREATE EXTENSION and at
# run time, their indexes, policies and rows, and every table that holds user rows. A restore changes no value.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->start;
my $dir = $node->basedir;

sub create_database
{
	my ($name, $options) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $name");
	$node->safe_psql($name, ($options // '') . ' CREATE EXTENSION shadow_analytics');
}

create_database('origin');
$node->safe_psql('origin', q{
	SELECT analytics.create_partitions('2020-01-01', '2020-01-03');
	INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, metadata, created_at)
	SELECT md5('w' || i % 3)::uuid, md5('u' || i % 7)::uuid, 'agent_run', repeat('n', 100), '{"status": "failed"}',
	       TIMESTAMPTZ '2019-12-31 12:00+00' + i * interval '1 hour' FROM generate_series(1, 100) AS i;
	INSERT INTO analytics.user_activity (user_id, event_type) VALUES (md5('u')::uuid, 'login');
	INSERT INTO analytics.user_activity (user_id, event_type, created_at) VALUES (md5('u')::uuid, 'login', '1980-01-01');
	SELECT analytics.index_closed_partitions();
	INSERT INTO analytics.settings VALUES ('currency', 'EUR');
	INSERT INTO analytics.credit_prices (model, price) VALUES ('m', 0.5);
	INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from) VALUES
	    (md5('w1')::uuid, 'Asia/Tokyo', '-infinity'),
	    (md5('w1')::uuid, 'Europe/Berlin', analytics.day_start('2025-06-01', 'Europe/Berlin')),
	    (md5('w1')::uuid, 'UTC', '2025-07-02 00:00+00');
	-- What only other time zone data would call a midnight.
	SET row_security = off;
	INSERT INTO analytics.workspace_settings (workspace_id, time_zone, valid_from)
	VALUES (md5('w2')::uuid, 'Europe/Berlin', '2025-06-01 12:34+00');
});

# Everything that a restore must bring back, xmin and oid aside.
my $content = q{
	SELECT tableoid::regclass::text, a::text FROM analytics.user_activity AS a
	UNION ALL SELECT 'settings', s::text FROM analytics.settings AS s
	UNION ALL SELECT 'prices', p::text FROM analytics.credit_prices AS p
	UNION ALL SELECT 'zones', w::text FROM analytics.workspace_settings AS w
	ORDER BY 1, 2 };
my $objects = q{
	SELECT c.relname, c.relrowsecurity::text, pg_get_expr(c.relpartbound, c.oid),
	       (SELECT string_agg(pg_get_indexdef(indexrelid) || obj_description(indexrelid), E'\n' ORDER BY pg_get_indexdef(indexrelid))
	        FROM pg_index WHERE indrelid = c.oid),
	       (SELECT string_agg(polname, ',') FROM pg_policy WHERE polrelid = c.oid),
	       (SELECT string_agg(tgname, ',') FROM pg_trigger WHERE tgrelid = c.oid),
	       (SELECT count(*) FROM pg_depend WHERE objid = c.oid AND deptype = 'e')
	FROM pg_class AS c WHERE c.relname LIKE 'user\_activity%' AND c.relkind IN ('r', 'p') ORDER BY 1 };
my $origin_content = $node->safe_psql('origin', $content);
my $origin_objects = $node->safe_psql('origin', $objects);
like($origin_objects, qr/user_activity_20200103.*no_direct_access.*check_event/s, 'the origin has what is compared');

sub check_restored
{
	my ($database, $how) = @_;
	is($node->safe_psql($database, $content), $origin_content, "$how: every row is the same");
	is($node->safe_psql($database, $objects), $origin_objects, "$how: every partition is the same");
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

dump_origin('schema.sql', '--schema=analytics', '--extension=shadow_analytics');
$node->safe_psql('postgres', 'CREATE DATABASE one_schema');
restore_plain('one_schema', 'schema.sql');
check_restored('one_schema', 'dump of the schema with the extension');

# Data alone go into a fresh extension, whose partitions of other days stay empty: days without one wait in the
# default partition, so the rows are compared and not where they lie.
my $rows = $content =~ s/tableoid::regclass::text/'event'/r;
for my $option ([], ['--load-via-partition-root'])
{
	my $database = @$option ? 'via_root' : 'data_only';
	dump_origin("$database.sql", '--schema=analytics', '--data-only', @$option);
	create_database($database);
	$node->safe_psql($database, q{SELECT analytics.create_partitions('2020-01-01', '2020-01-03')}) unless @$option;
	restore_plain($database, "$database.sql");
	is($node->safe_psql($database, $rows), $node->safe_psql('origin', $rows), "data only @$option: every row is the same");
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
