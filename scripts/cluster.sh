# Functions for a private PostgreSQL: a relocated copy of the server's files that the extension is installed
# into, and a cluster of its own. Nothing is written below /usr and no other cluster is touched. Sourced by
# quickstart, run-tests and scripts/dev.

PG_MAJOR=${PG_MAJOR:-15}
PG_LIBDIR=${PG_LIBDIR:-/usr/lib/postgresql/$PG_MAJOR}
PG_SHAREDIR=${PG_SHAREDIR:-/usr/share/postgresql/$PG_MAJOR}

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

# make_prefix DIR: bin is copied (the server finds share and lib relative to its own resolved path), share
# and lib are farms of links, so an install into DIR stays in DIR.
make_prefix() {
    local dir=$1
    [ -x "$dir$PG_LIBDIR/bin/postgres" ] && return
    rm -rf "$dir"
    mkdir -p "$dir$PG_LIBDIR" "$dir$PG_SHAREDIR"
    cp -a "$PG_LIBDIR/bin" "$dir$PG_LIBDIR/bin"
    cp -as "$PG_LIBDIR/lib" "$dir$PG_LIBDIR/lib"
    cp -as "$PG_SHAREDIR/." "$dir$PG_SHAREDIR/"
    mkdir -p "$dir$PG_SHAREDIR/extension"
}

# start_cluster DIR PORT: DIR/prefix must exist; makes DIR/data once, starts the server, waits for it.
start_cluster() {
    local dir=$1 port=$2 bin=$1/prefix$PG_LIBDIR/bin
    CLUSTER_DIR=$dir
    if [ ! -s "$dir/data/PG_VERSION" ]; then
        mkdir -p "$dir/data" "$dir/run"
        [ "$(id -u)" -ne 0 ] || chown "$SERVER_USER" "$dir" "$dir/data" "$dir/run"
        as_server_user "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync \
            > "$dir/initdb.log" 2>&1 || { cat "$dir/initdb.log" >&2; die "initdb failed"; }
    fi
    as_server_user "$bin/pg_ctl" -D "$dir/data" status > /dev/null 2>&1 && return
    as_server_user "$bin/pg_ctl" -D "$dir/data" -l "$dir/data/server.log" -w -s \
        -o "-p $port -k $dir/run -c listen_addresses='' ${CLUSTER_OPTIONS:-}" start \
        || { tail -20 "$dir/data/server.log" >&2; die "the private server did not start"; }
}

stop_cluster() {
    local dir=$1
    CLUSTER_DIR=$dir as_server_user "$dir/prefix$PG_LIBDIR/bin/pg_ctl" -D "$dir/data" -m fast -s stop 2> /dev/null || true
}
