# bash scripts/suites.sh WORK all|quick|asan: builds the current directory and runs its tests, for ./run-tests. Runs as
# the server's user; everything is written below WORK. Each suite adds "passed failed skipped" to WORK/tally.
set -euo pipefail
. scripts/cluster.sh
work=$1
suites=$2
jobs=$(nproc)
export PG_CONFIG=$PG_LIBDIR/bin/pg_config LC_ALL=C.UTF-8
unset MAKEFLAGS MAKELEVEL

# tally NAME PASSED FAILED [SKIPPED]
tally() {
    printf '%-44s %4d passed %3d failed  (%d s)\n' "$1" "$2" "$3" "$((SECONDS - started))"
    echo "$2 $3 ${4:-0}" >> "$work/tally"
    started=$SECONDS
}
started=$SECONDS
trap 'echo "scripts/suites.sh: line $LINENO: $BASH_COMMAND failed"' ERR

# shellcheck disable=SC2046,SC2086 # lists of test names are split on purpose

# count PATTERN FILE
count() { grep -Ec "$1" "$2" || true; }

# check NAME COMMAND…: one test that passes if the command does; its output is shown if it does not.
check() {
    local name=$1
    shift
    if "$@" > "$work/check.log" 2>&1; then
        tally "$name" 1 0
    else
        tail -n 60 "$work/check.log"
        tally "$name" 0 1
        return 1
    fi
}

unit_tests() {
    ctest --test-dir build -j"$jobs" --output-on-failure --no-tests=ignore > "$work/unit.log" 2>&1 || true
    local failed total
    failed=$(sed -n 's/.* \([0-9]*\) tests failed out of .*/\1/p' "$work/unit.log")
    total=$(sed -n 's/.* tests failed out of \([0-9]*\)/\1/p' "$work/unit.log")
    [ "${failed:-0}" -eq 0 ] || tail -n 200 "$work/unit.log"
    tally "unit tests" $((${total:-0} - ${failed:-0})) "${failed:-0}"
}

# pg_suite NAME COMMAND…: pg_regress or pg_isolation_regress; both say ok or FAILED per test (PostgreSQL 15) or
# speak TAP (16 and later).
pg_suite() {
    local name=$1 log=$work/suite.log status=0 failed
    shift
    rm -f "$work/out/regression.diffs"
    "$@" > "$log" 2>&1 || status=$?
    failed=$(count '\.\.\. FAILED|^not ok ' "$log")
    if [ "$status" -ne 0 ]; then
        head -n 400 "$work/out/regression.diffs" 2> /dev/null || tail -n 40 "$log"
        [ "$failed" -gt 0 ] || failed=1
    fi
    tally "$name" "$(count '\.\.\. ok|^ok ' "$log")" "$failed"
}

tap_files() {
    local file log=$work/tap.log status failed
    for file in test/t/*.pl; do
        status=0
        tap_suite -v "$file" > "$log" 2>&1 || status=$?
        failed=$(grep -E '^not ok ' "$log" | grep -vc '# TODO' || true)
        if [ "$status" -ne 0 ]; then
            tail -n 60 "$log"
            [ "$failed" -gt 0 ] || failed=1
        fi
        tally "TAP: $(basename "$file" .pl)" "$(grep -E '^ok ' "$log" | grep -vic '# skip' || true)" "$failed" \
            "$(count '^ok .*# (skip|SKIP)' "$log")"
    done
}

# Tests whose first lines say "-- plain settings only" show plans, or what the settings below decide.
hostile_regress() {
    local name tests=() parallel=force_parallel_mode
    for name in $(make -s --no-print-directory list-regress); do
        grep -q '^-- plain settings only' "test/sql/$name.sql" || tests+=("$name")
    done
    [ "$PG_MAJOR" -lt 16 ] || parallel=debug_parallel_query
    export PGOPTIONS="-c $parallel=regress -c parallel_setup_cost=0 -c parallel_tuple_cost=0 \
-c min_parallel_table_scan_size=0 -c plan_cache_mode=force_generic_plan -c work_mem=64kB \
-c enable_hashagg=off"
    pg_suite "regression, hostile settings" regress_suite "${tests[@]}"
    unset PGOPTIONS
}

no_crash() { ! grep -E 'terminated by signal|TRAP:|PANIC:' "$work/data/server.log"; }

# For --quick the tests are compiled faster and linked with the objects of the first build.
configure() {
    if [ "$suites" = quick ]; then
        set -- -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS=-O1 -DREUSE_OBJECTS=ON
    else
        set -- -DCMAKE_CXX_COMPILER="$(command -v clang++-14 || command -v clang++)"
    fi
    cmake -S . -B build -DWERROR=ON -DPG_CONFIG="$PG_CONFIG" "$@"
}
cmake_build() { cmake --build build -j"$jobs" "$@"; }

# The stock server loads the sanitizers first; -fwrapv, which PGXS brings, would hide overflows. The one-function
# library works around a deadlock of AddressSanitizer's start with Debian 12's libgpg-error: its failing
# dlsym("swift_demangle") would ask gettext for a message while gettext's lock is held.
build_with_sanitizers() {
    echo 'char *swift_demangle(void) { return 0; }' | cc -shared -fPIC -x c -o "$work/swift_demangle.so" -
    make -s -j"$jobs" all test-module \
        CXXFLAGS="-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined,float-cast-overflow -fno-sanitize=vptr"
}
preload_sanitizers() {
    export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:quarantine_size_mb=1
    export UBSAN_OPTIONS=print_stacktrace=1
    export LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so) $work/swift_demangle.so"
}
no_sanitizer_report() { ! grep -E -A 30 'ERROR: AddressSanitizer|runtime error:' "$work/data/server.log"; }

echo "building and testing in $work"
if [ "$suites" = asan ]; then
    check "build with sanitizers" build_with_sanitizers || exit 1
else
    check "build with g++, no warning" make -s -j"$jobs" WERROR=1 all test-module || exit 1
    # The core has no PostgreSQL on its include path there. The server's suites are run all the same.
    check "CMake configures" configure || true
    if [ "$suites" = quick ]; then
        check "unit tests build" cmake_build --target unit_tests || true
    else
        check "build with clang++ and CMake, no warning" cmake_build || true
    fi
    unit_tests
fi

make_prefix "$work/prefix"
make -s install DESTDIR="$work/prefix" > "$work/install.log"
port=$(private_port "$work")
CLUSTER_OPTIONS="-c fsync=off -c full_page_writes=off -c synchronous_commit=off"
(
    [ "$suites" != asan ] || preload_sanitizers
    start_cluster "$work" "$port"
)
use_cluster "$work" "$port"
pg_suite "regression" regress_suite $(make -s --no-print-directory list-regress)
if [ "$suites" != quick ]; then
    specs=$(make -s --no-print-directory list-isolation)
    [ -z "$specs" ] || pg_suite "isolation" isolation_suite $specs
fi
if [ "$suites" = all ]; then
    hostile_regress
    tap_files
fi
[ "$suites" != asan ] || check "no sanitizer complained" no_sanitizer_report
check "no backend crashed" no_crash
