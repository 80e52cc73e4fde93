# Functions for a private PostgreSQL: a relocated copy of the server's files that the extension is installed
# into, and a cluster of its own. Nothing is written below /usr and no other cluster is touched. Sourced by
# quickstart, run-tests and scripts/dev.

# The version of PostgreSQL that this release of Debian has, unless PG_MAJOR says another.
release_major() {
    case $(. /etc/os-release 2> /dev/null && echo "${VERSION_CODENAME:-}") in
    trixie) echo 17 ;;
    forky) echo 18 ;;
    *) echo 15 ;;
    esac
}
PG_MAJOR=${PG_MAJOR:-$(release_major)}
PG_LIBDIR=${PG_LIBDIR:-/usr/lib/postgresql/$PG_MAJOR}
PG_SHAREDIR=${PG_SHAREDIR:-/usr/share/postgresql/$PG_MAJOR}
PG_TESTDIR=$PG_LIBDIR/lib/pgxs/src/test
umask 022

die() { echo "$(basename "$0"): $*" >&2; exit 1; }

# PostgreSQL refuses to run as root: as root everything of the server runs as this user.
SERVER_USER=${SERVER_USER:-postgres}
as_server_user() {
    if [ "$(id -u)" -eq 0 ]; then
        setpriv --reuid "$SERVER_USER" --regid "$SERVER_USER" --init-groups \
            env HOME="${CLUSTER_DIR:-/tmp}" USER="$SERVER_USER" LOGNAME="$SERVER_USER" "$@"
    else
        "$@"
    fi
}

# own PATH…: the server's user may write there.
own() { [ "$(id -u)" -ne 0 ] || chown "$SERVER_USER:" "$@"; }

# path_number PATH: tells what belongs to one checkout from what belongs to another.
path_number() { printf '%s' "$1" | cksum | cut -d' ' -f1; }

# private_port DIR: one port per directory; the socket is private anyway, so a clash only matters to TCP users.
private_port() { echo $((20000 + $(path_number "$1") % 20000)); }

# copy_tree DIR: what is in this checkout and not ignored, without build products, goes to DIR. Objects built
# there before stay, and file times are kept, so that make only builds what changed.
copy_tree() {
    local dir=$1
    mkdir -p "$dir"
    find "$dir" -type f ! -path "$dir/build/*" ! -path "$dir/report/node_modules/*" ! -name shadow_analytics_report.html \
        ! -name '*.o' ! -name '*.d' ! -name '*.so' -delete
    git -c safe.directory='*' ls-files -z --cached --others --exclude-standard \
        | while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done \
        | tar --null --no-recursion --files-from=- -cf - | tar -C "$dir" --no-same-owner -xf -
}

# make_prefix DIR: bin is copied (the server finds share and lib relative to its own resolved path), share
# and lib are farms of links, so an install into DIR stays in DIR.
make_prefix() {
    local dir=$1
    cmp -s "$PG_LIBDIR/bin/postgres" "$dir$PG_LIBDIR/bin/postgres" && return
    rm -rf "$dir"
    mkdir -p "$dir$PG_LIBDIR" "$dir$PG_SHAREDIR"
    cp -a "$PG_LIBDIR/bin" "$dir$PG_LIBDIR/bin"
    cp -as "$PG_LIBDIR/lib" "$dir$PG_LIBDIR/lib"
    cp -as "$PG_SHAREDIR/." "$dir$PG_SHAREDIR/"
    mkdir -p "$dir$PG_SHAREDIR/extension"
}

# install_extension TREE DIR: builds in TREE, installs into DIR/prefix.
install_extension() {
    local tree=$1 dir=$2
    make -s -C "$tree" -j"$(nproc)" PG_CONFIG="$PG_LIBDIR/bin/pg_config" all
    make_prefix "$dir/prefix"
    make -s -C "$tree" install DESTDIR="$dir/prefix" PG_CONFIG="$PG_LIBDIR/bin/pg_config" > /dev/null
}

# use_cluster DIR PORT: programs called from now on talk to the cluster in DIR.
use_cluster() {
    CLUSTER_DIR=$1
    export PGHOST=$1/run PGPORT=$2 PGUSER=postgres PATH=$1/prefix$PG_LIBDIR/bin:$PATH
    unset PGDATABASE PGPASSWORD PGSERVICE PGOPTIONS PGSSLMODE
}

# start_cluster DIR PORT: DIR/prefix must exist; makes DIR/data once, starts the server, waits for it.
start_cluster() (
    local dir=$1 port=$2 bin=$1/prefix$PG_LIBDIR/bin
    CLUSTER_DIR=$dir
    cd "$dir" # the server's user may not be able to enter the checkout
    if [ ! -s "$dir/data/PG_VERSION" ]; then
        mkdir -p "$dir/data" "$dir/run"
        own "$dir" "$dir/data" "$dir/run"
        as_server_user "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync \
            > "$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; die "initdb failed"; }
    fi
    as_server_user "$bin/pg_ctl" -D "$dir/data" status > /dev/null 2>&1 && return
    # Nor may it keep open, and so locked, what its starter has open.
    for fd in 3 4 5 6 7 8 9; do eval "exec $fd>&-"; done
    as_server_user "$bin/pg_ctl" -D "$dir/data" -l "$dir/data/server.log" -w -s \
        ${POSTGRES_PROGRAM:+-p "$POSTGRES_PROGRAM"} -o "-p $port -k $dir/run -c listen_addresses='' ${CLUSTER_OPTIONS:-}" start \
        || { tail -20 "$dir/data/server.log" >&2; die "the private server did not start"; }
)

stop_cluster() (
    local dir=$1 pg_ctl=$1/prefix$PG_LIBDIR/bin/pg_ctl is_running=0
    [ -s "$dir/data/postmaster.pid" ] || return 0
    cd "$dir"
    export CLUSTER_DIR=$dir
    as_server_user "$pg_ctl" -D "$dir/data" -s status > /dev/null || is_running=$?
    [ "$is_running" -ne 3 ] || return 0 # 3: the file was left by a server that is gone
    as_server_user "$pg_ctl" -D "$dir/data" -m fast -s stop
)

# suite ANSWERS COMMAND…: the suites run as the server's user, in the source tree, and write to DIR/out. The
# cluster is in use.
suite() {
    local out=$CLUSTER_DIR/out answers=$PWD/$1
    shift
    mkdir -p "$out"
    ln -sfn "$answers" "$out/expected" # pg_regress looks for answers in its output directory first
    own "$out"
    as_server_user env PATH="$PATH" "$@"
}

# regress_suite TEST…; isolation_suite SPEC…
regress_suite() {
    suite expected "$PG_TESTDIR/regress/pg_regress" --inputdir=test --outputdir="$CLUSTER_DIR/out" \
        --bindir="$CLUSTER_DIR/prefix$PG_LIBDIR/bin" --dbname=contrib_regression \
        --load-extension=shadow_analytics "$@"
}
isolation_suite() {
    suite test/isolation/expected "$PG_TESTDIR/isolation/pg_isolation_regress" --inputdir=test/isolation --outputdir="$CLUSTER_DIR/out" \
        --bindir="$CLUSTER_DIR/prefix$PG_LIBDIR/bin" --dbname=isolation_regression \
        --load-extension=shadow_analytics "$@"
}

# tap_suite ARG…: arguments of prove. PostgreSQL's Perl modules take LC_ALL away, and a database in ASCII would refuse what
# the tests insert.
tap_suite() {
    rm -rf "$CLUSTER_DIR/out/tmp_check" # what a failed run left
    suite expected env LANG=C.UTF-8 TESTDIR="$CLUSTER_DIR/out" TESTDATADIR="$CLUSTER_DIR/out/tap" TESTLOGDIR="$CLUSTER_DIR/out/log" \
        TMPDIR="$CLUSTER_DIR/out" \
        PG_REGRESS="$PG_TESTDIR/regress/pg_regress" prove -I "$PG_TESTDIR/perl" "$@"
}
