# Documents are true: doc/reference.md is what the comments in a fresh database say, and the program in doc/questions.md runs.
use strict;
use warnings FATAL => 'all';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = PostgreSQL::Test::Cluster->new('reference');
$node->init;
$node->start;
$node->safe_psql('postgres', 'CREATE EXTENSION shadow_analytics');
my ($made, $error);
$node->psql('postgres', slurp_file('scripts/reference.sql'), stdout => \$made, stderr => \$error, on_error_stop => 1);
is($error, '', 'the reference can be made');
my $kept = slurp_file('doc/reference.md');
chomp $kept;
ok($kept eq $made, 'doc/reference.md is current') or diag('Make it anew: scripts/dev reference');

# In Node, where it and the package pg are there: scripts/packages.sh does not bring them.
SKIP: {
	local $ENV{NODE_PATH} = join ':', grep { defined } $ENV{NODE_PATH}, '/usr/share/nodejs';
	skip 'no node with the package pg', 2 if system(q{node -e "require('pg')" > /dev/null 2>&1}) != 0;
	my ($program) = slurp_file('doc/questions.md') =~ /^```js\n(.*?)^```/ms;
	my $file = "$PostgreSQL::Test::Utils::tmp_check/questions.js";
	append_to_file($file, $program);
	$node->safe_psql('postgres', <<'SQL');
CREATE TABLE public.workspace_members (workspace_id uuid, user_id uuid);
INSERT INTO public.workspace_members VALUES ('a0000000-0000-0000-0000-000000000001', 'b0000000-0000-0000-0000-000000000001');
SELECT analytics.setup_roles();
INSERT INTO analytics.user_activity (workspace_id, user_id, event_type, event_name, created_at)
SELECT 'a0000000-0000-0000-0000-000000000001', ('b0000000-0000-0000-0000-00000000000' || u)::uuid, t.type, t.name, now() - interval '3 days' + t.later
FROM generate_series(1, 3) AS u, (VALUES ('page_view', NULL, interval '0'), ('feature_use', 'export', '1 hour')) AS t (type, name, later) WHERE u < 3 OR t.name IS NULL;
SQL
	local %ENV = (%ENV, PGHOST => $node->host, PGPORT => $node->port, PGDATABASE => 'postgres');
	my $member = 'b0000000-0000-0000-0000-000000000001';
	is(qx(node '$file' a0000000-0000-0000-0000-000000000001 $member 2>&1), "page_view 3\nExport 2\n", 'the program asks as a member');
	is(qx(node '$file' a0000000-0000-0000-0000-000000000002 $member 2>&1), '', 'and learns nothing of another workspace');
}
$node->stop;
done_testing();
