EXTENSION  = shadow_analytics
EXTVERSION = $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(EXTENSION).control)

MODULE_big = $(EXTENSION)
OBJS       = $(patsubst %.cpp,%.o,$(sort $(wildcard src/*/*.cpp src/*/*/*.cpp)))

# The current version is assembled from the modules in sql/install; published scripts are frozen.
DATA_built = sql/$(EXTENSION)--$(EXTVERSION).sql
DATA       = $(filter-out $(DATA_built),$(wildcard sql/$(EXTENSION)--*.sql))
# The page of analytics.report_page(): built by make report, installed when it was built.
REPORT_PAGE = report/$(EXTENSION)_report.html
DATA       += $(wildcard $(REPORT_PAGE))
MODULES_SQL = $(sort $(wildcard sql/install/*.sql))

# Inputs are in test/sql, answers in expected: pg_regress looks in ./expected first.
REGRESS        = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS   = --inputdir=test --load-extension=$(EXTENSION)
ISOLATION      = $(patsubst test/isolation/specs/%.spec,%,$(sort $(wildcard test/isolation/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test/isolation --load-extension=$(EXTENSION)
TAP_TESTS      = 1
PROVE_TESTS    = test/t/*.pl

# make WERROR=1 turns warnings into errors, as ./run-tests does.
WARNINGS    = -Wall -Wextra $(if $(WERROR),-Werror)
PG_CPPFLAGS = -Isrc -isystem $(shell $(PG_CONFIG) --includedir-server) -DSHADOW_VERSION='"$(EXTVERSION)"'
PG_CXXFLAGS = -std=c++17 $(WARNINGS) -ffp-contract=off -MMD -MP $(EXTRA_CXXFLAGS)
SHLIB_LINK  = -lstdc++ -Wl,--version-script=src/exports.map

# The program that delivers notifications (make notifier, make install-notifier): libpq, libcurl, libcrypto.
NOTIFIER      = notifier/shadow-analytics-notifier
NOTIFIER_SRCS = $(sort $(wildcard notifier/*.cpp))

# The program that loads other tools' exports (make import, make install-import).
IMPORT      = import/shadow-analytics-import
IMPORT_OBJS = $(patsubst %.cpp,%.o,$(sort $(wildcard import/*.cpp))) $(addprefix src/core/,base/civil.o base/decimal.o base/uuid.o event/names.o ingest/times.o)

# Functions that only the tests need, in a module that is never installed.
TEST_MODULE = test/module/test_module.so
TEST_OBJS   = $(patsubst %.cpp,%.o,$(sort $(wildcard test/module/*.cpp)))

EXTRA_CLEAN = $(REPORT_PAGE) report/node_modules $(NOTIFIER) $(IMPORT) $(TEST_MODULE) $(TEST_OBJS) $(IMPORT_OBJS) $(patsubst %.o,%.d,$(OBJS) $(TEST_OBJS) $(IMPORT_OBJS)) \
	results regression.diffs regression.out output_iso tmp_check

# C++ frames gain nothing from JIT inlining, and PGXS would compile bitcode without PG_CXXFLAGS.
override with_llvm = no

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# Header dependencies, which PGXS does not track.
-include $(patsubst %.o,%.d,$(OBJS) $(TEST_OBJS) $(IMPORT_OBJS))

src/entry/module.o: $(EXTENSION).control
$(shlib): src/exports.map

$(DATA_built): $(MODULES_SQL) $(EXTENSION).control
	cat $(MODULES_SQL) > $@

$(TEST_MODULE): $(TEST_OBJS) $(filter-out src/entry/%,$(OBJS)) test/module/exports.map
	$(CXX) $(CXXFLAGS) -shared -o $@ $(filter %.o,$^) -Wl,--version-script=test/module/exports.map

$(NOTIFIER): $(NOTIFIER_SRCS) $(wildcard notifier/*.hpp) $(EXTENSION).control
	$(CXX) -std=c++17 -O2 $(WARNINGS) -D_FORTIFY_SOURCE=2 -fstack-protector-strong -fPIE -pie -Wl,-z,relro,-z,now \
		-DSHADOW_VERSION='"$(EXTVERSION)"' -I$(shell $(PG_CONFIG) --includedir) -o $@ $(NOTIFIER_SRCS) -lpq -lcurl -lcrypto

# Not below PostgreSQL: it belongs to no version of it. Settings that are there stay.
NOTIFIER_PREFIX = /usr/local
NOTIFIER_CONFIG = /etc/shadow-analytics-notifier
.PHONY: notifier install-notifier
notifier: $(NOTIFIER)
install-notifier: $(NOTIFIER)
	$(MKDIR_P) '$(DESTDIR)$(NOTIFIER_PREFIX)/bin' '$(DESTDIR)$(NOTIFIER_PREFIX)/lib/systemd/system' '$(DESTDIR)$(NOTIFIER_CONFIG)'
	$(INSTALL_PROGRAM) $(NOTIFIER) '$(DESTDIR)$(NOTIFIER_PREFIX)/bin'
	sed 's|=/usr/bin/|=$(NOTIFIER_PREFIX)/bin/|' notifier/shadow-analytics-notifier.service \
		> '$(DESTDIR)$(NOTIFIER_PREFIX)/lib/systemd/system/shadow-analytics-notifier.service'
	test -e '$(DESTDIR)$(NOTIFIER_CONFIG)/environment' || $(INSTALL_DATA) notifier/environment '$(DESTDIR)$(NOTIFIER_CONFIG)'

# npm works in report/node_modules alone; no script of a package is run.
.PHONY: report install-report
report: $(REPORT_PAGE)
$(REPORT_PAGE): report/package-lock.json report/build.mjs $(wildcard report/src/*)
	cd report && npm ci --loglevel=error --ignore-scripts --omit=dev && node build.mjs
install-report: $(REPORT_PAGE)
	$(MKDIR_P) '$(DESTDIR)$(datadir)/extension'
	$(INSTALL_DATA) $(REPORT_PAGE) '$(DESTDIR)$(datadir)/extension'

$(filter import/%,$(IMPORT_OBJS)): override CPPFLAGS += -isystem $(shell $(PG_CONFIG) --includedir)
$(IMPORT): $(IMPORT_OBJS)
	$(CXX) $(CXXFLAGS) -pie -o $@ $^ -lpq -lsimdjson -lcsv -lz -ldate-tz -lpthread

.PHONY: import install-import
import: $(IMPORT)
install-import: $(IMPORT)
	$(MKDIR_P) '$(DESTDIR)$(bindir)'
	$(INSTALL_PROGRAM) $(IMPORT) '$(DESTDIR)$(bindir)'

.PHONY: test-module
test-module: $(TEST_MODULE)
installcheck: test-module

# Layout of the code, by clang-format 14 alone: versions differ. make format does it.
CLANG_FORMAT = clang-format-14
FORMATTED    = $(sort $(shell find src test notifier import -name '*.?pp'))
.PHONY: format format-check
format:
	$(CLANG_FORMAT) -i $(FORMATTED)
format-check:
	$(CLANG_FORMAT) --dry-run -Werror $(FORMATTED)

# What is too slow for every change.
.PHONY: check-funnels check-asan check-clock check-faults check-history check-import check-report check-versions check-valgrind fuzz bench tidy
check-funnels: # random funnels against the enumeration of all chains
	cmake -S . -B build > /dev/null
	cmake --build build -j2 --target unit_tests
	FUNNEL_CASES=100000 build/unit_tests --gtest_filter='Funnel.*'
check-asan:
	./run-tests --asan
check-clock:
	scripts/check-clock
check-faults:
	FAULT_ROUNDS=50 scripts/dev tap -v test/t/faults.pl
check-import: # with a file of 1 GB
	IMPORT_MB=1000 scripts/dev tap -v test/t/import.pl
check-history:
	HISTORY_DAYS=10441 scripts/dev tap -v test/t/history.pl
check-report:
	scripts/check-report
check-versions:
	scripts/check-versions
check-valgrind:
	./run-tests --valgrind
# Each target of test/fuzz for FUZZ_SECONDS, from its corpus; what it finds stays in build-fuzz.
FUZZ_SECONDS = 60
fuzz:
	cmake -S . -B build-fuzz -DFUZZ=ON -DCMAKE_CXX_COMPILER=clang++-14 -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_FLAGS='-O1 -g' > /dev/null
	cmake --build build-fuzz -j2 --target fuzz
	set -e; for target in $(patsubst test/fuzz/%.cpp,%,$(wildcard test/fuzz/*_fuzz.cpp)); do \
		mkdir -p build-fuzz/corpus/$$target test/fuzz/corpus/$${target%_fuzz}; \
		build-fuzz/$$target -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=build-fuzz/$$target- \
			build-fuzz/corpus/$$target test/fuzz/corpus/$${target%_fuzz}; \
	done
bench:
	scripts/bench
tidy:
	cmake -S . -B build > /dev/null
	clang-tidy-14 -p build --quiet $(patsubst %.o,%.cpp,$(OBJS))

# make dist: the zip for PGXN, of what is committed, with the assembled script. make deb: Debian's packages. Both in dist.
DIST = $(EXTENSION)-$(EXTVERSION)
.PHONY: dist deb check-packages
dist: $(DATA_built)
	git diff --quiet HEAD || { echo 'make dist: commit first'; exit 1; }
	mkdir -p dist
	git archive --format=zip --prefix=$(DIST)/sql/ --add-file=$(DATA_built) --prefix=$(DIST)/ --output=dist/$(DIST).zip HEAD
deb:
	scripts/make-deb dist
check-packages: # installs what both give: the zip into a private server, the packages into a chroot; as root
	scripts/check-packages

# make freeze NEXT=1.1.0: the current version is published, its script never changes again; NEXT is begun.
STEP = sql/$(EXTENSION)--$(EXTVERSION)--$(NEXT).sql
.PHONY: freeze
freeze: $(DATA_built)
	@test -n '$(filter-out $(EXTVERSION),$(NEXT))' || { echo 'usage: make freeze NEXT=VERSION, a later one than $(EXTVERSION)'; exit 2; }
	sed -i "s/^\(default_version *= *\).*/\1'$(NEXT)'/" $(EXTENSION).control
	sed -i '/"meta-spec"/,$$!s/$(EXTVERSION)/$(NEXT)/' META.json
	sed -i 's/^## \[Unreleased\]/&\n\n## [$(EXTVERSION)] - '"$$(date +%F)/" CHANGELOG.md
	{ sed "s/^\(shadow-analytics\) (.*)/\1 ($(NEXT)-1)/; s/>  .*/>  $$(date -R)/; /^ --/q" debian/changelog; echo; cat debian/changelog; } \
		> debian/changelog.new && mv debian/changelog.new debian/changelog
	printf '%s\n' '\echo Use "ALTER EXTENSION $(EXTENSION) UPDATE" to load this file. \quit' \
		'SET LOCAL search_path = pg_catalog, pg_temp;' > $(STEP)
	@echo 'now: git add --force $(DATA_built) $(STEP)'

.PHONY: list-regress list-isolation
list-regress:
	@echo $(REGRESS)
list-isolation:
	@echo $(ISOLATION)
