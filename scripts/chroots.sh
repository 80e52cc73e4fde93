# Functions for chroots of Debian releases, which are kept below $chroots. As root. Sourced, after cluster.sh.

export PG_MAJOR
chroots=${CHROOTS:-/var/tmp/shadow_analytics-chroots}

# in_chroot DIR COMMAND…: in a mount namespace of its own, with /proc, /dev and /dev/shm.
in_chroot() {
    unshare --mount --pid --fork --propagation private bash -euc '
        mount -t proc proc "$1/proc"
        mount --rbind /dev "$1/dev"
        mountpoint -q "$1/dev/shm" || mount -t tmpfs tmpfs "$1/dev/shm"
        root=$1
        shift
        exec chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
            LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive PG_MAJOR="$PG_MAJOR" "$@"' _ "$@"
}

# allow_stale_mirror DIR: a testing release's index is valid for a week only.
allow_stale_mirror() { echo 'Acquire::Check-Valid-Until "false";' > "$1/etc/apt/apt.conf.d/99stale-mirror"; }

# make_chroot DIR RELEASE PACKAGE…: once; where no cluster of the system is made and no service started.
make_chroot() {
    local dir=$1 release=$2
    shift 2
    [ ! -e "$dir/.complete" ] || return 0
    echo "making a chroot of Debian $release (a few minutes)"
    rm -rf "$dir"
    mkdir -p "$dir"
    # Debian 12 knows neither release by name; the recipe is the same for all.
    debootstrap --variant=minbase --include=ca-certificates "$release" "$dir" '' \
        /usr/share/debootstrap/scripts/sid > "$dir.log" 2>&1
    printf '#!/bin/sh\nexit 101\n' > "$dir/usr/sbin/policy-rc.d" # no service is started in there
    chmod +x "$dir/usr/sbin/policy-rc.d"
    mkdir -p "$dir/etc/postgresql-common"
    echo "create_main_cluster = false" > "$dir/etc/postgresql-common/createcluster.conf"
    cp /etc/resolv.conf "$dir/etc/resolv.conf"
    allow_stale_mirror "$dir"
    in_chroot "$dir" bash -euc 'apt-get update -qq; apt-get install -y -qq --no-install-recommends "$@"' \
        _ "$@" >> "$dir.log" 2>&1
    touch "$dir/.complete"
}
