# shellcheck shell=bash
# bash scripts/suites.sh WORK all|quick|asan|valgrind: builds the current directory and runs its tests, for ./run-tests. Runs as
# the server's user; everything is written below WORK. Each suite adds "passed failed skipped" to WORK/tally.
set -euo pipefail
. scripts/cluster.sh
work=$1
suites=$2
jobs=$(nproc)
export PG_CONFIG=$PG_LIBDIR/bin/pg_config LC_ALL=C.UTF-8
unset MAKEFLAGS MAKELEVEL

# What runs in the background ends with us.
trap 'kill $(jobs -p) 2> /dev/null; exit 130' INT TERM

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
    local name=$1 log=$CLUSTER_DIR/suite.log status=0 failed
    shift
    rm -f "$CLUSTER_DIR/out/regression.diffs"
    "$@" > "$log" 2>&1 || status=$?
    failed=$(count '\.\.\. FAILED|^not ok ' "$log")
    if [ "$status" -ne 0 ]; then
        head -n 400 "$CLUSTER_DIR/out/regression.diffs" 2> /dev/null || tail -n 40 "$log"
        [ "$failed" -gt 0 ] || failed=1
    fi
    tally "$name" "$(count '\.\.\. ok|^ok ' "$log")" "$failed"
    sed -En 's/^(test|ok [0-9]+ +[-+]) +([a-z0-9_]+) .* ([0-9]+) ms$/\3 \2/p' "$log" | sort -rn \
        | awk 'NR <= 5 { printf "%s %s %.0f s", NR == 1 ? "    longest:" : ",", $2, $1 / 1000 } END { if (NR) print "" }'
}

# Some files compare what is read before and after, and it changes with the day: none begins shortly before midnight (UTC).
pass_midnight() {
    local left=$((86400 - $(date +%s) % 86400))
    [ "$left" -gt 90 ] || sleep "$((left + 1))"
}

# tap_files [NAME…]: those files first, then whatever nobody has begun: a file belongs to whoever makes its directory.
tap_files() {
    local file name status failed log=$CLUSTER_DIR/tap.log
    mkdir -p "$work/claimed"
    for file in $(printf 'test/t/%s.pl ' "$@") test/t/*.pl; do
        [ -e "$file" ] || continue # no name is given
        name=$(basename "$file" .pl)
        mkdir "$work/claimed/$name" 2> /dev/null || continue
        pass_midnight
        status=0
        tap_suite -v "$file" > "$log" 2>&1 || status=$?
        failed=$(grep -E '^not ok ' "$log" | grep -vc '# TODO' || true)
        if [ "$status" -ne 0 ]; then
            tail -n 60 "$log"
            grep -A 20 'Failed test' "$CLUSTER_DIR/out/tmp_check/log/regress_log_$name" || true # what was got and expected
            [ "$failed" -gt 0 ] || failed=1
        fi
        tally "TAP: $name" "$(grep -E '^ok ' "$log" | grep -vic '# skip' || true)" "$failed" \
            "$(count '^ok .*# (skip|SKIP)' "$log")"
    done
}

# Tests whose first lines say "-- plain settings only" show plans, or what the settings below decide.
hostile_regress() {
    local name tests=() parallel=force_parallel_mode
    for name in $(make -s --no-print-directory list-regress); do
        case $name in
        privileges | postgrest | search_path | reading_doc | readers) continue ;; # of rights and of documents, not of plans
        maintenance | failed_days | missing_events | fairness) continue ;;        # of the order of steps; late_events has their statements
        report | questions_real) continue ;;                                      # of what readers and questions have in parts
        event_scan | workspace_settings) continue ;;                              # of ways to scan; of many instants, slow so: exactness has zones
        esac
        grep -q '^-- plain settings only' "test/sql/$name.sql" || tests+=("$name")
    done
    [ "$PG_MAJOR" -lt 16 ] || parallel=debug_parallel_query
    # Starting a worker takes longer than most statements: one besides the leader makes a plan parallel. Compiling the
    # many plans that cost too much on paper would try LLVM, not us; the plain run compiles.
    export PGOPTIONS="-c $parallel=regress -c parallel_setup_cost=0 -c parallel_tuple_cost=0 \
-c min_parallel_table_scan_size=0 -c max_parallel_workers_per_gather=1 -c plan_cache_mode=force_generic_plan \
-c work_mem=64kB -c enable_hashagg=off -c jit=off"
    pg_suite "regression, hostile settings" regress_suite "${tests[@]}"
    unset PGOPTIONS
}

no_crash() { ! grep -E 'terminated by signal|TRAP:|PANIC:' "$work"/*/data/server.log; }

# Nothing that CMake builds here is measured, and the module is never loaded: it need not be fast. For --quick the tests
# are linked with the objects of the first build; those of g++, as clang++ 14 passes a 128-bit integer otherwise.
configure() {
    if [ "$suites" = quick ]; then
        set -- -DREUSE_OBJECTS=ON
    else
        set -- -DCMAKE_CXX_COMPILER="$(command -v clang++-14 || command -v clang++)" -DUNITY=ON \
            -DMODULE_OPTIONS=-O0 -DTEST_OPTIONS=-O0
    fi
    cmake -S . -B build -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS=-O1 -DWERROR=ON -DPG_CONFIG="$PG_CONFIG" "$@"
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
no_sanitizer_report() { ! grep -E -A 30 'ERROR: AddressSanitizer|runtime error:' "$work"/*/data/server.log; }

# The postmaster under memcheck, which follows its forks. palloc's chunks are not memory of its own to valgrind, so what
# it finds are uses of uninitialised and unmapped memory.
VALGRIND_TESTS="version percentiles quantile_sketch user_set sessions sbg numeric activity user_activity settings"
use_valgrind() {
    cat > "$work/valgrind_postgres" << END
#!/bin/sh
exec valgrind --quiet --leak-check=no --error-markers=VALGRIND-BEGIN,VALGRIND-END \\
    --suppressions=$PWD/test/valgrind.supp --log-file=$work/valgrind.%p.log $work/prefix$PG_LIBDIR/bin/postgres "\$@"
END
    chmod +x "$work/valgrind_postgres"
    export POSTGRES_PROGRAM=$work/valgrind_postgres PGCTLTIMEOUT=600
}
no_valgrind_report() { ! grep -h -A 40 VALGRIND-BEGIN "$work"/valgrind.*.log; }

build() {
    case $suites in
    asan) check "build with sanitizers" build_with_sanitizers ;;
    # What is loaded is what users load (the symbols for a debugger cost a seventh of the time and change no code), but for
    # --quick, where compiling takes longer than testing.
    quick) check "build with g++, no warning" make -s -j"$jobs" WERROR=1 CXXFLAGS="-O1 -fno-strict-aliasing -fwrapv" all test-module ;;
    *) check "build with g++, no warning" make -s -j"$jobs" WERROR=1 EXTRA_CXXFLAGS=-g0 all test-module notifier import ;;
    esac
}

# plant FILE INCLUDE: whether scripts/check-includes names this include and fails, in a copy of the source that has it.
plant() {
    rm -rf "$work/planted"
    mkdir "$work/planted"
    cp -r src/core src/pg src/entry "$work/planted"
    echo "#include \"$2\"" >> "$work/planted/$1"
    ! scripts/check-includes "$work/planted" > "$work/planted/found" || return 1
    grep -F "$1: $2: " "$work/planted/found"
}
planted_includes_are_found() {
    plant core/base/uuid.cpp postgres.h \
        && plant core/event/event.hpp core/rollup/state.hpp \
        && plant core/users/sessions.hpp pg/array.hpp \
        && plant pg/tuple.hpp core/event/event.hpp \
        && plant pg/memory.hpp entry/sets/user_set.hpp \
        && plant entry/event/privacy.hpp entry/rollup/scan.hpp \
        && ! plant core/alerts/rule.hpp core/alerts/evaluator.hpp && grep circle "$work/planted/found" # where it may
}
source_checks() {
    check "includes go one way" scripts/check-includes || true
    check "includes of the wrong way are found" planted_includes_are_found || true
    check "format" make -s format-check || true
}

# The core has no PostgreSQL on its include path there. The server's suites are run whatever happens here.
unit() {
    check "CMake configures" configure || true
    case $suites in
    quick) check "unit tests build" cmake_build --target unit_tests || true ;;
    all) check "build with clang++ and CMake, no warning" cmake_build || true ;;
    esac
    unit_tests
}

# start_own_cluster NAME: a cluster in WORK/NAME, in use from now on. Suites that run side by side need one each,
# because roles belong to a cluster.
start_own_cluster() {
    local dir=$work/$1
    mkdir -p "$dir"
    ln -s ../prefix "$dir/prefix"
    (
        [ "$suites" != asan ] || preload_sanitizers
        [ "$suites" != valgrind ] || use_valgrind
        CLUSTER_OPTIONS="-c fsync=off -c full_page_writes=off -c synchronous_commit=off"
        start_cluster "$dir" "$(private_port "$dir")"
    )
    use_cluster "$dir" "$(private_port "$dir")"
}

regression() {
    start_own_cluster main
    pg_suite "regression" regress_suite $(make -s --no-print-directory list-regress)
}
isolation() {
    pg_suite "isolation" isolation_suite $(make -s --no-print-directory list-isolation)
}
hostile() {
    start_own_cluster hostile
    hostile_regress
}

echo "building and testing in $work"
build || exit 1
make_prefix "$work/prefix"
make -s install DESTDIR="$work/prefix" > "$work/install.log"

# What runs side by side shares nothing but the built files.
case $suites in
# Two shares of about the same length.
quick)
    (
        start_own_cluster main
        pg_suite "regression" regress_suite $(make -s --no-print-directory list-regress | tr ' ' '\n' | grep -vxE "exactness(_real)?")
    ) &
    first=$!
    source_checks
    unit
    start_own_cluster longest
    pg_suite "regression, the longest" regress_suite exactness exactness_real
    wait $first
    ;;
asan)
    regression
    isolation
    check "no sanitizer complained" no_sanitizer_report
    ;;
valgrind)
    start_own_cluster main
    pg_suite "regression under valgrind" regress_suite $VALGRIND_TESTS
    check "valgrind found nothing" no_valgrind_report
    ;;
# Three on two cores: the third has the longest, and the files that mostly wait (for a minute, a lock, the end of a process).
all)
    (
        hostile
        tap_files
    ) &
    first=$!
    (
        start_own_cluster waiting
        tap_files hostile_arguments operations worker locks notifier seed_schedules
    ) &
    second=$!
    source_checks
    unit
    regression
    isolation
    tap_files
    wait $first
    wait $second
    ;;
esac
started=$SECONDS
check "no backend crashed" no_crash
echo "all of it: $SECONDS s"
