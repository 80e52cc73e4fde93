#!/usr/bin/env bash
# In a chroot of Debian: the packages in /packages/first are installed and used as doc/ says, upgraded to those in
# /packages/second, and purged. Run by scripts/check-packages.
set -euo pipefail
major=$1
unit=/lib/systemd/system/shadow-analytics-notifier.service
packages="postgresql-$major-shadow-analytics shadow-analytics-notifier shadow-analytics-import"

# check WHAT COMMAND…
check() {
    local what=$1
    shift
    "$@" > /tmp/output 2>&1 || { echo "not ok: $what"; cat /tmp/output; exit 1; }
    echo "ok: $what"
}
apt() { apt-get -q -y -o Dpkg::Options::=--force-confold "$@" > /tmp/apt.log 2>&1 || { cat /tmp/apt.log; exit 1; }; }
sql() { runuser -u postgres -- psql -XAtq -v ON_ERROR_STOP=1 -d app -c "$1"; }
is() { [ "$(sql "$1")" = "$2" ] || { echo "$1: $(sql "$1")"; return 1; }; }
comes_true() { for _ in $(seq 60); do is "$1" t > /dev/null && return; sleep 0.5; done; return 1; }
restart() { pg_ctlcluster "$major" main restart; }
# statements DOCUMENT PATTERN: its block of SQL that has the pattern.
statements() {
    awk -v pattern="$2" '/^```sql/ { block = ""; inside = 1; next } /^```/ { if (inside && block ~ pattern) print block; inside = 0 }
        inside { block = block $0 "\n" }' "/packages/doc/$1"
}
# The unit's own command, as its own user, with its own environment.
notifier() (
    set -a
    . /etc/shadow-analytics-notifier/environment
    eval "runuser -u $(sed -n 's/^User=//p' $unit) -- $(sed -n 's/^ExecStart=//p' $unit | sed 's/\${[A-Z_]*}/\"&\"/g') $*"
)

clean() {
    pg_dropcluster --stop "$major" main 2> /dev/null || true
    # shellcheck disable=SC2086
    dpkg --purge $packages > /tmp/apt.log 2>&1 # also where they are not installed
    rm -rf /etc/shadow-analytics-notifier
}
trap clean EXIT
clean

apt install /packages/first/*.deb
check "the unit is clean" systemd-analyze verify --man=no "$unit"
[ ! -s /tmp/output ] || { cat /tmp/output; exit 1; }
mkdir -p /tmp/units
awk '/^```/ { inside = /^```ini/; file = ""; next } inside && sub("^# /etc/systemd/system/", "") { file = "/tmp/units/" $0; next }
    inside && file { print > file }' /packages/doc/operations.md
check "so are those of the documentation" systemd-analyze verify --man=no /tmp/units/shadow-analytics.service /tmp/units/shadow-analytics.timer
[ ! -s /tmp/output ] || { cat /tmp/output; exit 1; }
dpkg -L $packages | sort -u > /tmp/files

pg_createcluster "$major" main --start > /dev/null
runuser -u postgres -- createdb app
sql 'CREATE EXTENSION shadow_analytics'
sql "INSERT INTO analytics.user_activity (workspace_id, user_id, event_type)
     SELECT md5('w')::uuid, md5('u' || i)::uuid, 'login' FROM generate_series(1, 7) AS i"
sql "ALTER SYSTEM SET shared_preload_libraries = 'shadow_analytics'"
restart
sql "ALTER SYSTEM SET shadow_analytics.databases = 'app'"
sql 'SELECT pg_reload_conf()' > /dev/null
check "the background worker aggregates" comes_true 'SELECT sum(total_events) = 7 FROM analytics.daily_metrics'

printf 'event_type,user_id,created_at\nlogin,ann,%s\n' "$(date -u +%FT%TZ)" > /tmp/events.csv
check "the import loads a file" runuser -u postgres -- shadow-analytics-import --from csv --database dbname=app \
    --workspace 11111111-1111-1111-1111-111111111111 /tmp/events.csv
check "the import has loaded it" is "SELECT count(*) FROM analytics.user_activity WHERE user_id = analytics.user_uuid(workspace_id, 'ann')" 1

sql "$(statements alerts.md 'CREATE ROLE shadow_notifier')"
sed -i 's/^PGDATABASE=.*/PGDATABASE=app/' /etc/shadow-analytics-notifier/environment
check "the notifier logs in without a password" notifier --once
sql "SELECT analytics.set_notification_destination(md5('w')::uuid, 'oncall', 'webhook', 'https://127.0.0.1/');
     INSERT INTO analytics.notification_outbox (workspace_id, kind, alert_id, destination_name, channel, message)
     VALUES (md5('w')::uuid, 'firing', gen_random_uuid(), 'oncall', 'webhook', '{\"kind\": \"firing\"}')" > /dev/null
check "it delivers" notifier --once
check "and notes what became of it" is 'SELECT status, last_error FROM analytics.notification_outbox' \
    'dead|the name leads to a loopback, link-local or private address'

apt install /packages/second/*.deb
restart
check "the second revision is installed" bash -c "dpkg-query -W $packages | grep -c -- '-2$' | grep -qx 3"
check "data and functions are there after the upgrade" is 'SELECT count(*), count(analytics.version()) FROM analytics.user_activity' '8|8'
check "settings too" grep -qx 'PGDATABASE=app' /etc/shadow-analytics-notifier/environment
check "the notifier works" notifier --once

# As doc/uninstall.md says.
sql "$(statements uninstall.md '^DROP EXTENSION')"
sql 'ALTER SYSTEM RESET shadow_analytics.databases'
sql 'ALTER SYSTEM RESET shared_preload_libraries'
# shellcheck disable=SC2086
apt purge $packages
restart
check "the server runs without the packages" is 'SELECT 1' 1
while IFS= read -r file; do
    [ -d "$file" ] || [ ! -e "$file" ] || { echo "not ok: $file is left"; exit 1; }
done < /tmp/files
check "no settings are left" test ! -e /etc/shadow-analytics-notifier
