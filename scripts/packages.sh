# The Debian packages that the scripts need; this is the one list of them. Sourced.

BUILD_PACKAGES="postgresql-$PG_MAJOR postgresql-server-dev-$PG_MAJOR g++ make libboost-math-dev libxxhash-dev"
IMPORT_PACKAGES="libpq-dev libsimdjson-dev libcsv-dev libcli11-dev zlib1g-dev libhowardhinnant-date-dev"
SERVER_TEST_PACKAGES="$BUILD_PACKAGES libipc-run-perl postgresql-$PG_MAJOR-cron
    libpq-dev libcurl4-openssl-dev libssl-dev openssl python3-aiosmtpd $IMPORT_PACKAGES"
TEST_PACKAGES="$SERVER_TEST_PACKAGES cmake clang-14 clang-format-14 libgtest-dev libgmock-dev libroaring-dev"
PACKAGING_PACKAGES="$BUILD_PACKAGES debhelper postgresql-server-dev-all libcurl4-openssl-dev libssl-dev $IMPORT_PACKAGES"

missing_packages() {
    local package
    for package in "$@"; do
        case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null) in
        installed) ;;
        *) echo "$package" ;;
        esac
    done
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        command -v sudo > /dev/null || die "run as root or install sudo, or install the packages yourself: $missing"
        sudo "$@"
    fi
}

apt() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 "$@" \
        < /dev/null > "$log" 2>&1 || { cat "$log" >&2; die "apt-get $1 failed"; }
}

# While PostgreSQL is being installed, Debian must not create and start a cluster of the system's own.
no_system_cluster=/etc/postgresql-common/createcluster.d/shadow_analytics.conf
hold_back_system_cluster() {
    as_root mkdir -p "${no_system_cluster%/*}"
    echo "create_main_cluster = false" | as_root tee "$no_system_cluster" > /dev/null
}
release_system_cluster() {
    as_root rm -f "$no_system_cluster"
    as_root rmdir --ignore-fail-on-non-empty "${no_system_cluster%/*}"
}

# ensure_packages PACKAGE…: installs what is missing.
ensure_packages() (
    missing=$(missing_packages "$@" | xargs)
    [ -n "$missing" ] || exit 0
    command -v apt-get > /dev/null || die "this needs Debian's packages: $missing"
    echo "installing with apt-get (a few minutes): $missing"
    log=$(mktemp)
    trap 'rm -f "$log"' EXIT
    case " $missing " in
    *" postgresql-$PG_MAJOR "*)
        trap 'rm -f "$log"; release_system_cluster' EXIT
        hold_back_system_cluster
        ;;
    esac
    apt update
    # shellcheck disable=SC2086
    apt install --no-install-recommends $missing
)
