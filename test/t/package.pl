# What is checked without a server: META.json, versions, the module's symbols, the direction of dependencies,
# rules for install scripts, links between the documents.
use strict;
use warnings;

use File::Basename qw(basename dirname);
use JSON::PP qw(decode_json);
use Test::More;

sub slurp
{
	my ($path) = @_;
	open my $file, '<', $path or die "$path: $!";
	local $/;
	return scalar <$file>;
}

sub matching_lines
{
	my ($pattern, @paths) = @_;
	my @found;
	for my $path (@paths)
	{
		my $number = 0;
		for my $line (split /\n/, slurp($path))
		{
			++$number;
			push @found, "$path:$number: $line" if $line =~ $pattern;
		}
	}
	return @found;
}

my $semver = qr/^(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:[A-Za-z][0-9A-Za-z-]*)?$/;

# Versions: the control file is the one place.
my ($version) = slurp('shadow_analytics.control') =~ /^default_version\s*=\s*'([^']+)'/m;
like($version, $semver, 'control file has a semantic version');

# META.json against the PGXN Meta Spec 1.0.0: required fields, types, and who may be named.
my $meta = decode_json(slurp('META.json'));
my @licenses = qw(agpl_3 apache_1_1 apache_2_0 artistic_1 artistic_2 bsd freebsd gfdl_1_2 gfdl_1_3 gpl_1 gpl_2 gpl_3
  lgpl_2_1 lgpl_3_0 mit mozilla_1_0 mozilla_1_1 openssl perl_5 postgresql qpl_1_0 ssleay sun zlib open_source
  restricted unrestricted unknown);
my @known = qw(name version abstract maintainer license provides meta-spec description generated_by no_index prereqs
  release_status resources tags);

subtest 'META.json follows the PGXN Meta Spec' => sub {
	for my $field (qw(name version abstract maintainer license provides meta-spec))
	{
		ok(defined $meta->{$field}, "required field $field");
	}
	my %is_known = map { $_ => 1 } @known;
	is_deeply([ grep { !$is_known{$_} && !/^x_/i } sort keys %$meta ], [], 'no unknown field');
	like($meta->{name}, qr/^[^\s\/\\\x00-\x1f]{2,}$/, 'name');
	like($meta->{version}, $semver, 'version is semantic');
	ok((grep { $_ eq $meta->{license} } @licenses), 'license is one of the listed');
	like($meta->{release_status}, qr/^(stable|testing|unstable)$/, 'release_status');
	like($meta->{'meta-spec'}{version}, $semver, 'meta-spec version');
	for my $extension (sort keys %{ $meta->{provides} })
	{
		my $provided = $meta->{provides}{$extension};
		ok(length $provided->{$_}, "$extension provides $_") for qw(file version);
		ok(!defined $provided->{docfile} || -f $provided->{docfile}, "$extension: docfile exists");
	}
	for my $phase (sort keys %{ $meta->{prereqs} })
	{
		like($phase, qr/^(configure|build|test|runtime|develop)$/, "phase $phase");
		for my $relation (sort keys %{ $meta->{prereqs}{$phase} })
		{
			like($relation, qr/^(requires|recommends|suggests|conflicts)$/, "relation $relation");
			like($_, qr/^0$|$semver/, "version $_") for values %{ $meta->{prereqs}{$phase}{$relation} };
		}
	}
};
is($meta->{version}, $version, 'META.json has the control file\'s version');
is($meta->{provides}{shadow_analytics}{version}, $version, 'and so has what it provides');
is($meta->{provides}{shadow_analytics}{file}, "sql/shadow_analytics--$version.sql", 'whose file is the script');

like(slurp('debian/changelog'), qr/^shadow-analytics \(\Q$version\E-\d+\) /, 'so has the Debian package');
is(slurp('debian/control') =~ s/postgresql-\d+/postgresql-PGVERSION/gr, slurp('debian/control.in'), 'debian/control is made from control.in');

# Symbols: ours and nothing else goes out; nothing that starts threads or processes comes in.
SKIP:
{
	skip 'the module is not built here', 2 unless -f 'shadow_analytics.so';
	my @defined = map { (split)[-1] } `nm -D --defined-only shadow_analytics.so`;
	is_deeply([ grep { !/^(Pg_magic_func|_PG_init|(pg_finfo_)?shadow_\w+)$/ } @defined ],
		[], 'only shadow_* symbols are exported');
	my @undefined = map { (split)[-1] } `nm -D --undefined-only shadow_analytics.so`;
	is_deeply([ grep { /^(pthread_create|thrd_create|v?fork|clone|system|popen|posix_spawnp?|exec[lv]\w*)(@|$)/ } @undefined ],
		[], 'no threads, no processes');
}

# Install scripts: CREATE, never CREATE OR REPLACE, which would take over an object planted beforehand.
is_deeply([ matching_lines(qr/^\s*CREATE\s+OR\s+REPLACE/i, glob 'sql/install/*.sql') ], [], 'no CREATE OR REPLACE');

# A topic is one module with a number of its own.
my %modules;
push @{ $modules{ basename($_) =~ /^(\d\d)-[a-z_]+\.sql$/ ? $1 : 'without a number' } }, $_ for glob 'sql/install/*';
is_deeply([ grep { /\D/ || @{ $modules{$_} } > 1 } sort keys %modules ], [], 'the modules of SQL have a number each');

# Links between the documents lead somewhere.
my @broken;
for my $document (grep { -f } 'README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', glob('doc/*.md'), glob('database/*.md'))
{
	my $text = slurp($document);
	while ($text =~ /\]\((?!https?:|mailto:|#)([^)#\s]+)/g)
	{
		push @broken, "$document: $1" unless -e dirname($document) . "/$1";
	}
}
is_deeply(\@broken, [], 'no broken links in the documents');

done_testing();
