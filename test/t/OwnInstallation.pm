# A PostgreSQL installation of a test's own, to install versions of the extension that nobody else sees.
package OwnInstallation;
use strict;
use warnings;

use File::Basename qw(dirname);
use File::Path qw(make_path);
use PostgreSQL::Test::Utils;

# Relocates the installation under test to below a directory. The programs find everything relative to where they
# themselves are, so they are copied; links do for the rest.
sub make
{
	my ($root) = @_;
	for (['--bindir', '-aL'], ['--pkglibdir', '-as'], ['--sharedir', '-as'])
	{
		my ($option, $how) = @$_;
		my $directory = config($option);
		make_path(dirname("$root$directory"));
		system_or_bail('cp', $how, $directory, "$root$directory");
	}
	return { path => $root . dirname(config('--bindir')), extensions => $root . config('--sharedir') . '/extension' };
}

sub config
{
	my ($option) = @_;
	chomp(my $value = `pg_config $option`);
	return $value;
}

1;
