# shadow-analytics-notifier against real servers that refuse, dawdle, break off and lie, and against its own death:
# every message arrives at least once, always with the same idempotency key, and nothing secret is told.
use strict;
use warnings;

use IPC::Run;
use JSON::PP qw(decode_json);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

my $program = 'notifier/shadow-analytics-notifier';
system('make', '-s', 'WERROR=1', 'notifier') == 0 or BAIL_OUT('the notifier does not build');

# A certificate authority of our own, and a server certificate for localhost.
my $dir = PostgreSQL::Test::Utils::tempdir;
sub openssl
{
	my ($out, $err);
	IPC::Run::run([ 'openssl', @_ ], '>', \$out, '2>', \$err) or die "openssl: $err";
}
openssl(qw(req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test-authority), '-keyout', "$dir/ca.key", '-out', "$dir/ca.pem");
openssl(qw(req -newkey rsa:2048 -nodes -subj /CN=localhost), '-keyout', "$dir/key.pem", '-out', "$dir/server.csr");
append_to_file("$dir/san", "subjectAltName=DNS:localhost,IP:127.0.0.1\n");
openssl(qw(x509 -req -days 2 -CAcreateserial), '-in', "$dir/server.csr", '-CA', "$dir/ca.pem", '-CAkey', "$dir/ca.key",
	'-extfile', "$dir/san", '-out', "$dir/cert.pem");

my ($servers_in, $servers_out, $servers_err) = ('', '', '');
my $servers = IPC::Run::start([ '/usr/bin/python3', 'test/notifier/servers.py', $dir ],
	'<', \$servers_in, '>', \$servers_out, '2>', \$servers_err);
wait_until(sub { -e "$dir/ports.json" }, 'the servers start') or diag($servers_err);
my $ports = decode_json(slurp_file("$dir/ports.json"));
my $https = "https://localhost:$ports->{https}";

my $node = PostgreSQL::Test::Cluster->new('outbox');
$node->init(allows_streaming => 1);
$node->append_conf('postgresql.conf', "fsync = off\nlog_statement = all\nlog_line_prefix = '%a '\n");
$node->start;
my $w = 'a0000000-0000-0000-0000-000000000001';
$node->safe_psql('postgres', <<SQL);
CREATE EXTENSION shadow_analytics;
CREATE ROLE notifier LOGIN;
GRANT USAGE ON SCHEMA analytics_internal TO notifier;
GRANT EXECUTE ON FUNCTION analytics_internal.claim_notifications(text, integer, interval),
    analytics_internal.record_delivery(text, uuid, uuid, boolean, boolean, integer, bigint, text, interval) TO notifier;
CREATE FUNCTION public.queue(name text, channel text, address text, secret text = NULL) RETURNS text LANGUAGE sql AS \$\$
    SELECT analytics.set_notification_destination('$w', name, channel, address, secret);
    INSERT INTO analytics.notification_outbox (workspace_id, kind, alert_id, destination_name, channel, message)
    VALUES ('$w', 'firing', gen_random_uuid(), name, channel,
            '{"kind": "firing", "severity": "critical", "rule_name": "Größe & <b>", "reason": "failed_runs is 2, greater than 1", "alert_id": "a", "metric_type": "failed_runs", "condition": "greater_than", "threshold_value": 1, "triggered_at": "2026-03-10T11:00:00Z", "workspace_id": "w"}')
    RETURNING id::text \$\$;
SQL

my @common = ('--dbname', $node->connstr('postgres') . ' user=notifier', '--allow-private', '--webhook-ports', '1-65535', '--ca-file', "$dir/ca.pem",
	'--timeout', '10', '--smtp-url', "smtp://localhost:$ports->{smtp}", '--smtp-user', 'mailer', '--sender', 'alerts@example.org');
append_to_file("$dir/password", "a password of mail\n");
my @mail_password = ('--smtp-password-file', "$dir/password");

sub wait_until
{
	my ($condition, $what) = @_;
	for (1 .. 400)
	{
		return 1 if $condition->();
		usleep(50_000);
	}
	fail("timed out: $what");
	return 0;
}

# Runs the notifier to its end; all it has ever printed is kept.
my $printed = '';
sub once
{
	my @arguments = @_;
	my ($out, $err) = ('', '');
	IPC::Run::run([ $program, '--once', @common, @mail_password, @arguments ], '<', \undef, '>', \$out, '2>', \$err);
	my $status = $? >> 8;
	$printed .= $out . $err;
	return ($status, $out, $err);
}

sub requests
{
	return () unless -e "$dir/requests.jsonl";
	return map { decode_json($_) } split /\n/, slurp_file("$dir/requests.jsonl");
}
sub requests_at { my $path = shift; return grep { ($_->{path} // '') eq $path } requests(); }
sub count_at { my @found = requests_at(shift); return scalar @found; }
sub queue { my @a = map { defined $_ ? "'$_'" : 'NULL' } @_; return $node->safe_psql('postgres', 'SELECT public.queue(' . join(', ', @a) . ')'); }
sub state_of { my $id = shift; return $node->safe_psql('postgres', "SELECT concat_ws('|', status, attempts, response_status, last_error) FROM analytics.notification_outbox WHERE id = '$id'"); }
sub make_due { $node->safe_psql('postgres', "UPDATE analytics.notification_outbox SET next_attempt_at = now(), leased_until = now() WHERE status IN ('waiting', 'sending')"); }

# Options that make no sense, and a password that everybody could read.
for my $wrong ([ '--dbname', 'host=x password=y' ], [ '--smtp-url', 'http://x' ], [ '--timeout', 'soon' ], ['--what'], ['extra'])
{
	my ($out, $err);
	IPC::Run::run([ $program, '--once', @$wrong ], '<', \undef, '>', \$out, '2>', \$err);
	is($? >> 8, 2, "refused: @$wrong");
}

# Nothing to do; and a look without effects.
is((once())[0], 0, 'nothing is due');
my $dry = queue('dry', 'webhook', "$https/ok/dry");
my ($status, $out) = once('--dry-run');
like($out, qr/^$dry webhook attempt 1: \[critical\] Größe & <b>$/m, 'dry run shows what is due');
is(state_of($dry), 'waiting|0', 'and leaves it');
ok(!-e "$dir/requests.jsonl", 'and sends nothing');

# A server that a notifier cannot work with: an error, and nothing is sent; a service waits until it can.
sub is_told
{
	my ($name, $error, @arguments) = @_;
	for my $mode ('--once', '--dry-run')
	{
		my ($status, undef, $told) = once($mode, @arguments);
		is($status, 1, "$name, $mode: failure");
		like($told, $error, "$name, $mode: and why");
	}
}
my ($claim, $record) = $node->safe_psql('postgres',
	"SELECT oid::regprocedure FROM pg_proc WHERE proname IN ('claim_notifications', 'record_delivery') ORDER BY proname") =~ /(.+)\n(.+)/;
is_told('another database', qr/no function .*extension shadow_analytics is missing, or older/, '--dbname', $node->connstr('template1') . ' user=notifier');
for my $function ($claim, $record)
{
	$node->safe_psql('postgres', "REVOKE EXECUTE ON FUNCTION $function FROM notifier");
	is_told("no right on $function", qr/permission denied for function/);
	$node->safe_psql('postgres', "GRANT EXECUTE ON FUNCTION $function TO notifier");
}
$node->safe_psql('postgres', 'REVOKE USAGE ON SCHEMA analytics_internal FROM notifier');
is_told('no right on the schema', qr/permission denied for schema/);
$node->safe_psql('postgres', 'GRANT USAGE ON SCHEMA analytics_internal TO notifier');
$node->safe_psql('postgres', "ALTER FUNCTION $record RENAME TO of_another_version");
is_told('another version', qr/no function .*record_delivery.*extension shadow_analytics is missing, or older/);
my ($waiting_out, $waiting_err) = ('', '');
my $waiting = IPC::Run::start([ $program, @common, @mail_password, '--poll', '1' ], '<', \undef, '>', \$waiting_out, '2>', \$waiting_err);
wait_until(sub { $waiting->pump_nb; $waiting_err =~ /\n/ }, 'a line of the service') or diag($waiting_err);
$node->safe_psql('postgres', 'ALTER FUNCTION analytics_internal.of_another_version RENAME TO record_delivery');
wait_until(sub { state_of($dry) eq 'delivered|1|200' }, 'delivery when the server can');
$node->safe_psql('postgres', "REVOKE EXECUTE ON FUNCTION $claim FROM notifier");
wait_until(sub { $waiting->pump_nb; $waiting_err =~ /permission denied/ }, 'a right lost on the way is told');
$waiting->signal('TERM');
$waiting->finish;
$node->safe_psql('postgres', "GRANT EXECUTE ON FUNCTION $claim TO notifier");
like($waiting_err, qr/^waiting for the server: ERROR: .*older than the notifier\n$dry delivered after \d+ ms\nwaiting for the server: ERROR: .*permission denied.*\n/,
	'the service says once why it waits');
is(() = $waiting_err =~ /older than the notifier/g, 1, 'not at each try');
$printed .= $waiting_err;

# A standby: it says so, and works from the promotion on.
my $standby = PostgreSQL::Test::Cluster->new('standby');
$node->backup('backup');
$standby->init_from_backup($node, 'backup', has_streaming => 1);
$standby->start;
is_told('a standby', qr/ERROR: .*(during recovery|read-only transaction)/, '--dbname', $standby->connstr('postgres') . ' user=notifier');
$standby->promote;
is((once('--dbname', $standby->connstr('postgres') . ' user=notifier'))[0], 0, 'promoted');
$standby->stop;

# A webhook, signed; Slack's blocks; a mail over STARTTLS with authentication.
my $hook = queue('hook', 'webhook', "$https/ok/hook", 'a signing secret of mine');
my $slack = queue('slack', 'slack', "$https/ok/slack");
my $mail = queue('mail', 'email', 'oncall@example.org');
($status) = once();
is($status, 0, 'all delivered');
is(state_of($hook), 'delivered|1|200', 'webhook delivered');
my ($got) = requests_at('/ok/hook');
my $headers = $got->{headers};
is($headers->{'idempotency-key'}, $hook, 'the idempotency key is the id');
is(JSON::PP->new->decode($got->{body})->{id}, $hook, 'the body names it too');
my ($t, $v1) = $headers->{'x-shadow-signature'} =~ /^t=(\d+),v1=([0-9a-f]{64})$/;
utf8::encode(my $body = $got->{body});
append_to_file("$dir/signed", "$t.$body");
IPC::Run::run([ 'openssl', 'dgst', '-sha256', '-hmac', 'a signing secret of mine', "$dir/signed" ], '>', \my $mac_line);
like($mac_line, qr/\b$v1$/, 'the signature is HMAC-SHA-256 of time and body');
cmp_ok(abs(time() - $t), '<', 60, 'and dated now');
is($headers->{'x-shadow-timestamp'}, $t, 'the timestamp stands apart as well');
is(JSON::PP->new->decode((requests_at('/ok/slack'))[0]->{body})->{blocks}[0]{type}, 'header', 'Slack gets blocks');
my ($letter) = grep { $_->{mail} } requests();
is_deeply([ $letter->{recipients}[0], $letter->{sender}, $letter->{tls} ], [ 'oncall@example.org', 'alerts@example.org', JSON::PP::true ], 'mail over TLS');
is($letter->{user}, 'mailer', 'authenticated');
like($letter->{mail}, qr/^Message-ID: <$mail\@example.org>\r?$/m, 'Message-ID is the idempotency key');
like($letter->{mail}, qr/^Subject: =\?UTF-8\?B\?[A-Za-z0-9+\/=]+\?=\r?$/m, 'subject encoded');

# Refusals for good are not repeated; others are, not before Retry-After.
my %fault = map { $_ => queue($_, 'webhook', "$https/$_") } qw(500 429 gone redirect cut);
$fault{refused} = queue('refused', 'webhook', 'https://localhost:1/');
$fault{unknown} = queue('unknown', 'webhook', 'https://no-such-host.invalid/');
my %mail_fault = map { $_ => queue("mail-$_", 'email', "$_\@example.org") } qw(nobody busy);
once();
is(state_of($fault{500}), 'waiting|1|500|HTTP 500', 'HTTP 500 is tried again');
is(state_of($fault{429}), 'waiting|1|429|HTTP 429', 'HTTP 429 is tried again');
is($node->safe_psql('postgres', "SELECT next_attempt_at > now() + interval '25 minutes' FROM analytics.notification_outbox WHERE id = '$fault{429}'"),
	't', 'after the time that Retry-After asks for');
is(state_of($fault{gone}), 'dead|1|410|HTTP 410', 'HTTP 410 is final');
is(state_of($fault{redirect}), 'dead|1|302|HTTP 302, redirects are not followed', 'a redirect is final');
is(count_at('/ok/redirected'), 0, 'and was not followed');
like(state_of($fault{cut}), qr/^waiting\|1\|/, 'a connection cut in the middle is tried again');
like(state_of($fault{refused}), qr/^waiting\|1\|Could(n't| not) connect/, 'a refused connection is tried again');
like(state_of($fault{unknown}), qr/^waiting\|1\|/, 'an unknown host is tried again');
like(state_of($mail_fault{nobody}), qr/^dead\|1\|550\|.*SMTP 550$/, 'a mail that is refused for good is dead');
like(state_of($mail_fault{busy}), qr/^waiting\|1\|451\|.*SMTP 451$/, 'greylisting is tried again');
my $flaky = queue('flaky', 'webhook', "$https/flaky");
once();
is(state_of($flaky), 'waiting|1|503|HTTP 503', 'failed once');
make_due();
once();
is(state_of($flaky), 'delivered|2|200', 'delivered the second time');
is(state_of($mail_fault{busy}), 'delivered|2|250', 'the mail too');
is_deeply([ map { $_->{headers}{'idempotency-key'} } requests_at('/flaky') ], [ $flaky, $flaky ], 'with the same idempotency key');
$node->safe_psql('postgres', "UPDATE analytics.notification_outbox SET status = 'dead' WHERE status = 'waiting'");

# Certificates are verified; private addresses are refused, whatever name leads there; no mail without TLS login.
my $untrusted = queue('untrusted', 'webhook', "$https/ok/untrusted");
once('--ca-file', '/etc/ssl/certs/ca-certificates.crt');
like(state_of($untrusted), qr/^waiting\|1\|.*(certificate|SSL)/i, 'an unknown authority is not trusted');
$node->safe_psql('postgres', "UPDATE analytics.notification_outbox SET status = 'dead' WHERE status = 'waiting'");
my $private = queue('private', 'webhook', "$https/ok/private");
my @public_only = grep { $_ ne '--allow-private' } @common;
IPC::Run::run([ $program, '--once', @public_only ], '<', \undef, '>', \my $public_out, '2>', \my $public_err);
is(state_of($private), 'dead|1|the name leads to a loopback, link-local or private address', 'a loopback address is refused');
my $port = queue('port', 'webhook', "$https/ok/port");
once('--webhook-ports', '443,8443');
is(state_of($port), 'dead|1|this notifier does not connect to the port that the URL names', 'a port that is not allowed is refused');
is(count_at('/ok/untrusted') + count_at('/ok/private') + count_at('/ok/port'), 0, 'nothing was sent there');
my $unauthorised = queue('login', 'email', 'login@example.org');
once('--smtp-user', 'somebody');
like(state_of($unauthorised), qr/^waiting\|1\|535\|Login denied/, 'a wrong login is our own fault, and tried again');
make_due();
once();

# Slower than the timeout: tried again.
my $late = queue('late', 'webhook', "$https/slow/late");
once('--timeout', '1');
is(state_of($late), 'waiting|1|Timeout was reached', 'a delivery that takes too long is tried again');
make_due();
once();
is_deeply([ state_of($late), map { $_->{headers}{'idempotency-key'} } requests_at('/slow/late') ], [ 'delivered|2|200', $late, $late ],
	'and arrives, with the same idempotency key');

# A slow endpoint does not hold up the others, and only some of its messages are under way at a time.
my @slow = map { queue('slow', 'webhook', "$https/slow") } 1 .. 6;
my @quick = map { queue("quick-$_", 'webhook', "$https/ok/quick") } 1 .. 10;
my ($daemon_out, $daemon_err) = ('', '');
my $daemon = IPC::Run::start([ $program, @common, @mail_password ], '<', \undef, '>', \$daemon_out, '2>', \$daemon_err);
wait_until(sub { count_at('/ok/quick') == 10 }, 'quick ones');
is($node->safe_psql('postgres', "SELECT count(*) FROM analytics.notification_outbox WHERE destination_name = 'slow' AND status = 'delivered'"), 0,
	'ten quick ones are there before the first slow one');
is($node->safe_psql('postgres', "SELECT count(*) FROM analytics.notification_outbox WHERE destination_name = 'slow' AND status = 'sending'"), 4,
	'four to the slow one at a time');

# kill -9 in the middle: another notifier sends them again when the lease is over, under the same keys.
$daemon->kill_kill(grace => 0);
make_due();
my $rescue = IPC::Run::start([ $program, @common, @mail_password, '--poll', '1' ], '<', \undef, '>', \$daemon_out, '2>', \$daemon_err);
wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) FROM analytics.notification_outbox WHERE destination_name = 'slow' AND status = 'delivered'") == 6 }, 'all slow ones');
my %times;
++$times{ $_->{headers}{'idempotency-key'} } for requests_at('/slow');
is_deeply([ sort keys %times ], [ sort @slow ], 'every slow message arrived, and none under another key');

# A NOTIFY wakes it; it comes back after a restart of the server; counters on demand; SIGTERM ends it.
$node->restart;
wait_until(sub { $node->safe_psql('postgres', "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shadow-analytics-notifier'") == 1 }, 'reconnection');
my $after = queue('after', 'webhook', "$https/ok/after");
$node->safe_psql('postgres', 'NOTIFY shadow_analytics');
wait_until(sub { state_of($after) eq 'delivered|1|200' }, 'delivery after the restart');
# What ended while the server was away is noted when it is back; SIGTERM waits for what is under way.
my $over = queue('over', 'webhook', "$https/slow/over");
$node->safe_psql('postgres', 'NOTIFY shadow_analytics');
wait_until(sub { count_at('/slow/over') == 1 }, 'a slow delivery');
$node->restart;
wait_until(sub { state_of($over) eq 'delivered|1|200' }, 'its outcome');
is(count_at('/slow/over'), 1, 'a restart of the server in the middle repeats nothing');
my $last = queue('last', 'webhook', "$https/slow/last");
$node->safe_psql('postgres', 'NOTIFY shadow_analytics');
wait_until(sub { count_at('/slow/last') == 1 }, 'the last delivery');
$rescue->signal('USR1');
wait_until(sub { $rescue->pump_nb; $daemon_err =~ /claimed=\d+ delivered=\d+ .*in_flight=1/ }, 'counters');
pass('counters');
$rescue->signal('TERM');
$rescue->finish;
is($rescue->result(0), 0, 'SIGTERM ends it cleanly');
is(state_of($last), 'delivered|1|200', 'after the delivery under way');

# Two at once share the work: nothing is sent twice.
queue("both-$_", 'webhook', "$https/ok/both") for 1 .. 40;
my @pair = map { IPC::Run::start([ $program, '--once', @common, @mail_password, '--concurrency', '5' ], '<', \undef, '>', \my $po, '2>', \my $pe) } 1 .. 2;
$_->finish for @pair;
my %both;
++$both{ $_->{headers}{'idempotency-key'} } for requests_at('/ok/both');
is_deeply([ scalar keys %both, (grep { $_ > 1 } values %both) + 0 ], [ 40, 0 ], 'forty messages, each sent once');

is($node->safe_psql('postgres', "SELECT count(*) FROM analytics.notification_outbox WHERE status IN ('waiting', 'sending')"), 0, 'none is left');
my $secrets = qr/a signing secret of mine|a password of mail|oncall\@example|\/ok\/hook/;
unlike($printed . $daemon_out . $daemon_err, $secrets, 'the notifier prints no address and no secret');
unlike($node->safe_psql('postgres', 'SELECT o::text FROM analytics.notification_outbox AS o'), $secrets, 'the outbox holds none');

unlike(join('', grep { /^shadow-analytics-notifier/ } split /^/, slurp_file($node->logfile)), $secrets, 'nor does its part of the server log');

$servers->kill_kill(grace => 0);
$node->stop;
done_testing();
