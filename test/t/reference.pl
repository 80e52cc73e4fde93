# doc/reference.md is what the comments in a fresh database say.
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
$node->stop;
done_testing();
