# Every SQL and shell block of the original description, in order and as printed, on a database like Supabase's. What
# fails there is listed in doc/differences.md; each replacement named there works.
use strict;
use warnings;

use Cwd qw(abs_path);
use FindBin;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $root = abs_path("$FindBin::RealBin/../..");
my $has_cron = -e `pg_config --pkglibdir` =~ s/\n//r . '/pg_cron.so';

my $node = PostgreSQL::Test::Cluster->new('main');
$node->init;
$node->append_conf('postgresql.conf', "fsync = off\njit = off\nlisten_addresses = '127.0.0.1'\nshared_preload_libraries = 'pg_stat_statements"
	. ($has_cron ? ",pg_cron'\ncron.database_name = 'db_name'\ncron.launch_active_jobs = off\n" : "'\n"));
$node->start;
$node->safe_psql('postgres', q{CREATE ROLE "user" SUPERUSER LOGIN PASSWORD 'pass'; CREATE DATABASE db_name});
$node->safe_psql('db_name', q{
	CREATE ROLE anon; CREATE ROLE authenticated; CREATE ROLE service_role BYPASSRLS;
	CREATE SCHEMA auth;
	CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS
	    $$SELECT coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''), nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')::uuid$$;
	GRANT USAGE ON SCHEMA auth, public TO anon, authenticated, service_role;
	CREATE TABLE public.workspace_members (workspace_id uuid, user_id uuid);
	INSERT INTO public.workspace_members VALUES (md5('w1')::uuid, md5('u1')::uuid);
	CREATE EXTENSION pg_stat_statements;
	SET client_min_messages = error;
	CREATE EXTENSION IF NOT EXISTS plpgsql});
$node->safe_psql('db_name', 'CREATE EXTENSION pg_cron') if $has_cron;

# The blocks with the headings over them, and placeholders filled in.
my %uuid = map { $_ => $node->safe_psql('postgres', "SELECT md5('$_')::uuid") } qw(w1 w2 u1 a1);
my $text = slurp_file("$root/test/data/original_blocks.md");
$text =~ s/'workspace-uuid'/'$uuid{w1}'/g;
$text =~ s/'agent-uuid'/'$uuid{a1}'/g;
$text =~ s/'user-uuid'/'$uuid{u1}'/g;
my (@blocks, $heading);
while ($text =~ /^## ([^\n]*)$|^```(bash|sql)\n(.*?)^```$/msg)
{
	if (defined $1) { $heading = $1 }
	else { push @blocks, [ $heading, $2, $3 ] }
}

# What PostgreSQL answers instead, by heading and number of the block below it; else nothing may fail.
my %expected = (
	'Testing RLS' => qr/\A(WARNING:  SET LOCAL can only be used in transaction blocks\n){2}\z/,
	'Monitoring' => qr/\AERROR:  column "tablename" does not exist\n\z/,
	# Into the database from which the dump is: all of it is there, and stays.
	'Restore' => qr/\A(ERROR:  ((schema|relation|policy|trigger) ".*" .*already exists|duplicate key value .*|multiple primary keys .*|"user_activity.*" is already a partition)\n)+\z/);

my $dir = $node->basedir . '/work';
mkdir $dir;
symlink "$root/database", "$dir/database" or die;
chdir $dir or die;
my $url = 'postgresql://user:pass@localhost/db_name';
$ENV{PGPORT} = $node->port;
$ENV{PGOPTIONS} = '';
my $is_filled = 0;
sub rows { return $node->safe_psql('db_name', 'SELECT (SELECT count(*) FROM analytics.user_activity), (SELECT count(*) FROM analytics.daily_metrics)') }

for my $block (@blocks)
{
	my ($name, $language, $code) = @$block;
	next if $name =~ /Scheduled Jobs/ && !$has_cron;
	if (!$is_filled && $language eq 'sql')
	{
		$is_filled = 1;
		$node->safe_psql('db_name', q{
			SELECT analytics.setup_roles();
			INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, metadata, created_at)
			SELECT md5('w' || w)::uuid, md5('u1')::uuid, 'agent_run', jsonb_build_object('agent_id', md5('a1'), 'status', 'ok', 'runtime', i), now() - i * interval '3 hours'
			FROM generate_series(1, 2) AS w, generate_series(1, 100) AS i;
			CALL analytics.maintain()});
	}
	my $before = $is_filled ? rows() : '';
	local $ENV{DATABASE_URL} = $url;
	my $file = "$dir/block.$language";
	unlink $file;
	append_to_file($file, $code);
	my ($out, $error) = run_command($language eq 'bash' ? [ 'bash', $file ] : [ 'psql', '-X', '-d', $url, '-f', $file ]);
	my $complaints = join '', map { /((?:ERROR|WARNING|FATAL):  .*)/ ? "$1\n" : /(error: .*|.*: No such file.*)/ ? "$1\n" : () } split /\n/, $error;
	like($complaints, $expected{$name} // qr/\A\z/, "$name ($language)");
	is(rows(), $before, "$name: no row is lost or added") if $name =~ /Backup|Restore/;
}
is(scalar @blocks, 15, 'blocks');

# The replacements of doc/differences.md.
sub psql { return run_command([ 'psql', '-X', '-A', '-t', '-d', $url, '-c', $_[0] ]) }
$node->safe_psql('db_name', 'ALTER TABLE analytics.daily_metrics ENABLE ROW LEVEL SECURITY');
like((psql('SELECT * FROM analytics.index_usage ORDER BY scans DESC'))[0], qr/daily_metrics/, 'index usage');
like((psql('SELECT * FROM analytics.table_sizes ORDER BY total_bytes DESC'))[0], qr/^user_activity\|\d\d?\|/m, 'table sizes: one line for all partitions');
my $as_member = "BEGIN; SET LOCAL role authenticated; SET LOCAL request.jwt.claim.sub = '$uuid{u1}';";
like((psql("$as_member SELECT DISTINCT workspace_id FROM analytics.daily_metrics; COMMIT"))[0], qr/^BEGIN\nSET\nSET\n$uuid{w1}\nCOMMIT$/m, 'a member sees his workspace');
like((psql("$as_member SELECT * FROM analytics.mv_workspace_summary"))[1], qr/permission denied for materialized view mv_workspace_summary/, 'mv_* are not for members');
for my $view (qw(active_users top_agents workspace_summary error_trends agent_usage_trends))
{
	my ($out, $error) = psql("$as_member SELECT workspace_id FROM analytics.$view GROUP BY 1; COMMIT");
	is($error, '', "analytics.$view answers");
	unlike($out, qr/$uuid{w2}/, 'and shows no foreign workspace');
}
is((psql("$as_member SELECT auth.uid() = analytics.current_user_id(); COMMIT"))[0] =~ /^t$/m, 1, 'current_user_id() is auth.uid()');
$node->safe_psql('db_name', 'DROP FUNCTION auth.uid()');
is((psql("$as_member SELECT analytics.current_user_id(); COMMIT"))[0] =~ /^$uuid{u1}$/m, 1, 'and needs none');
system_or_bail('sh', '-c', "pg_dump '$url' --schema=analytics --extension=shadow_analytics > with_extension.sql");
$node->safe_psql('postgres', 'CREATE DATABASE empty');
$node->command_ok([ 'psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr('empty'), '-f', 'with_extension.sql' ], 'a dump with --extension restores into an empty database, also by another superuser');
is($node->safe_psql('empty', 'SELECT count(*) FROM analytics.user_activity'), '200', 'with its events');
$node->safe_psql('db_name', q{ALTER ROLE authenticated LOGIN});
my $client = IPC::Run::start([ 'psql', '-X', '-d', 'postgresql://authenticated@localhost/db_name', '-c', 'SELECT pg_sleep(100)' ], '>', \my $o, '2>', \my $e);
$node->poll_query_until('db_name', q{SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'authenticated' AND state = 'active')});
like((psql('SELECT * FROM analytics.security_audit()'))[0], qr/connected without encryption/, 'security_audit() reports connections without encryption');
$client->kill_kill;

chdir $root;
$node->stop;
done_testing();
