# What is left of a person in a dump after forget_user(): nothing. What the audit says of connections without encryption.
use strict;
use warnings;

use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('privacy');
$node->init;
my $dir = $node->data_dir;
my $has_ssl = qx(openssl req -new -x509 -days 2 -nodes -newkey rsa:2048 -subj /CN=localhost -keyout '$dir/server.key' -out '$dir/server.crt' 2>&1; pg_config --configure) =~ /openssl|with-ssl/ && -s "$dir/server.crt";
chmod 0600, "$dir/server.key";
$node->append_conf('postgresql.conf', "fsync = off\nlisten_addresses = '127.0.0.1'\n" . ($has_ssl ? "ssl = on\n" : ''));
$node->start;
$node->safe_psql('postgres', q{
	CREATE EXTENSION shadow_analytics;
	CREATE TABLE public.workspace_members (workspace_id uuid, user_id uuid);
	SELECT analytics.setup_roles();
	CREATE ROLE authenticator LOGIN NOINHERIT;
	GRANT anon, authenticated TO authenticator});

# Ann and Bob do the same things in two workspaces, and every text of theirs carries their name; a day of Ann's is
# in a partition with all indexes, another in the default partition.
my ($ann, $bob) = ('a77a0000-1234-4abc-8def-0123456789ab', 'b0b00000-1234-4abc-8def-0123456789ab');
my %secrets = (
	'her id' => $ann, 'her id without hyphens' => $ann =~ s/-//gr, 'her address' => '203.0.113.77', 'her text' => 'ANNMARKER',
	'her session' => 'a5e55101-1234-4abc-8def-0123456789ab', 'her mail' => 'annmarker@example.org');
$node->safe_psql('postgres', qq{
	INSERT INTO analytics.settings VALUES ('ip_policy', 'keep'), ('keep_query', 'true');
	SELECT analytics.create_partitions('2025-03-01', '2025-03-02');
	INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, page_path, session_id, ip_address, user_agent, referrer, metadata, created_at)
	SELECT md5('w' || n % 2)::uuid, u.id::uuid, t, 'name', '/' || u.name || '?mail=' || u.name || '\@example.org', u.session::uuid, u.ip::inet, u.name, 'https://' || u.name,
	       jsonb_build_object('agent_id', md5('agent'), 'run_id', left(u.id, 4) || n, 'status', CASE n % 2 WHEN 0 THEN 'failed' ELSE 'ok' END, 'credits', 1, 'revenue', 1,
	                          'error_type', 'timeout', 'error_message', u.name || ' ' || lower(u.name) || '\@example.org', 'failure_reason', 'of ' || u.name, 'comment', u.name, 'unknown', u.name, 'self', u.id),
	       TIMESTAMPTZ '2025-03-01 12:00Z' + d * interval '1 day' + n * interval '1 minute'
	FROM (VALUES ('$ann', 'ANNMARKER', '203.0.113.77', 'a5e55101-1234-4abc-8def-0123456789ab'), ('$bob', 'BOBMARKER', '198.51.100.7', 'b5e55101-1234-4abc-8def-0123456789ab')) AS u (id, name, ip, session),
	     generate_series(0, 5) AS d, generate_series(1, 4) AS n, unnest('{agent_run,error,click}'::text[]) AS t;
	INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, page_path, metadata, created_at)
	VALUES (md5('w0')::uuid, '$bob', 'click', '/users/$ann', '{"invited": "$ann"}', '2025-03-01 13:00Z');
	UPDATE analytics.settings SET value = 'hash' WHERE name = 'ip_policy';
	INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, ip_address, created_at) VALUES (md5('w0')::uuid, '$ann', 'click', '203.0.113.77', '2025-03-01 14:00Z');
	SELECT analytics_internal.index_closed_partitions();
	SELECT count(analytics.aggregate_daily_metrics(DATE '2025-03-01' + d)), count(analytics.aggregate_user_cohorts('daily', DATE '2025-03-01' + d)) FROM generate_series(0, 5) AS d;
	SELECT analytics.refresh_all_materialized_views();
	INSERT INTO public.workspace_members VALUES (md5('w0')::uuid, '$bob');
	INSERT INTO analytics.alert_rules (workspace_id, name, metric_type, condition, threshold_value, created_by) VALUES (md5('w0')::uuid, 'r', 'failed_runs', 'greater_than', 0, '$ann');
	INSERT INTO analytics.alert_history (workspace_id, alert_rule_id, rule_name, severity, triggered_at, metric_type, condition, reason)
	SELECT workspace_id, id, name, severity, now(), metric_type, condition, 'x' FROM analytics.alert_rules;
	SET request.jwt.claim.sub = '$ann';
	SELECT analytics.acknowledge_alert(id, 'ANNMARKER') FROM analytics.alert_history;
	INSERT INTO analytics.credit_prices (price, model) VALUES (1, 'none');});
my $hash = $node->safe_psql('postgres', 'SELECT substr(encode(ip_hash, $$hex$$), 9) FROM analytics.user_activity WHERE ip_hash IS NOT NULL');
$secrets{'the hash of her address'} = $hash;
$secrets{'the hash of her id'} = $node->safe_psql('postgres', "SELECT md5('$ann')");

sub dump_of { return scalar qx(pg_dump -d '@{[ $node->connstr('postgres') ]}') }
my $counts = q{SELECT md5(string_agg(r, '' ORDER BY r)) FROM (
	SELECT (to_jsonb(d) - '{created_at,updated_at}'::text[])::text FROM analytics.daily_metrics AS d UNION ALL
	SELECT (to_jsonb(d) - '{created_at,updated_at,common_failure_reasons}'::text[])::text FROM analytics.agent_performance AS d UNION ALL
	SELECT (to_jsonb(d) - '{created_at,updated_at}'::text[])::text FROM analytics.daily_users AS d UNION ALL
	SELECT (to_jsonb(d) - '{created_at,updated_at}'::text[])::text FROM analytics.daily_user_revenue AS d) AS t (r)};

my $before = dump_of();
my $counted = $node->safe_psql('postgres', $counts);
for my $what (sort grep { !/without hyphens|hash of her id/ } keys %secrets)
{
	ok($before =~ /\Q$secrets{$what}/i, "$what is in a dump");
}
my $exported = $node->safe_psql('postgres', "SET request.jwt.claim.sub = '$ann'; SET ROLE authenticated; SELECT analytics.export_user('$ann')");
ok($exported =~ /\Q$secrets{$_}/, "$_ is exported") for 'her id', 'her address', 'her text', 'her session';
ok($exported !~ /BOBMARKER|\Q$bob/, 'and nothing of Bob');
ok($exported =~ /"$_": \[\{/, "$_ too") for qw(events users daily_users agents_used events_by_day revenue alert_rules acknowledged_alerts audit_log);

is($node->safe_psql('postgres', "SET ROLE service_role; SELECT analytics.forget_user('$ann')"), 73, 'her events');
my $after = dump_of();
for my $what (sort keys %secrets)
{
	is((grep { /\Q$secrets{$what}/i } split /\n/, $after)[0], undef, "$what is in no dump any more");
}
ok($after =~ /BOBMARKER/, 'Bob is');
is($node->safe_psql('postgres', $counts), $counted, 'every count is what it was');
is($node->safe_psql('postgres', "SELECT count(*) FROM analytics.mv_error_trends WHERE sample_messages::text LIKE '%ANNMARKER%'"), 0, 'nor is she in the materialized view');
is($node->safe_psql('postgres', "SELECT count(*) FROM jsonb_each(analytics.export_user('$ann')) WHERE value <> '[]'"), 1, 'nothing but the question is left to export');

# Connections of API roles. One over TCP without encryption is found, one with it or over a socket is not.
my $finding = q{SELECT count(*) FROM analytics.security_audit() WHERE finding = 'API role is connected without encryption' AND object = 'authenticator'};

sub audit_beside
{
	my $connection = shift;
	my ($in, $out) = ('', '');
	my $session = IPC::Run::start([ 'psql', '-XAtq', '-d', $connection . ' user=authenticator dbname=postgres port=' . $node->port ], '<', \$in, '>', \$out, '2>&1');
	$in = "SELECT 'connected';\n";
	$session->pump until $out =~ /connected|error/i;
	my $answer = $node->safe_psql('postgres', $finding);
	$in = "\\q\n";
	$session->finish;
	return $out =~ /connected/ ? $answer : $out;
}
is(audit_beside('host=127.0.0.1 sslmode=disable'), 1, 'an unencrypted connection is found');
is(audit_beside('host=' . $node->host), 0, 'one over a socket is none');
SKIP: {
	skip 'the server knows no SSL', 1 unless $has_ssl;
	is(audit_beside('host=127.0.0.1 sslmode=require'), 0, 'nor is an encrypted one');
}
$node->stop;
done_testing();
