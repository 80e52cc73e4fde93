#!/usr/bin/env bash
# Installs or updates Shadow Analytics in a database:
#   run_migrations.sh [URL]      without URL the environment variable DATABASE_URL
# May be run again at any time. Stops at the first statement that fails, prints it and exits with a non-zero
# status.
set -euo pipefail

url=${1:-${DATABASE_URL:-}}
if [ -z "$url" ]; then
    echo "usage: $(basename "$0") postgresql://user:password@host/database   (or set DATABASE_URL)" >&2
    exit 2
fi
directory=$(cd "$(dirname "$0")" && pwd)

run() { psql -X -q -v ON_ERROR_STOP=1 --echo-errors -d "$url" "$@"; }

for migration in "$directory"/migrations/[0-9][0-9][0-9]_*.sql; do
    echo "$(basename "$migration")"
    if ! run -f "$migration"; then
        echo "failed: $(basename "$migration"); nothing of it was applied" >&2
        exit 1
    fi
done

echo
echo "Installed:"
run -c "SELECT extversion AS version FROM pg_extension WHERE extname = 'shadow_analytics'"
run -c "SELECT table_name, partitions, total_size FROM analytics.table_sizes ORDER BY total_bytes DESC, table_name"
run -c "SELECT c.relname AS view, CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END AS kind
        FROM pg_class AS c WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind IN ('v', 'm') ORDER BY 1"
