# The commands of the project. Each works from a fresh clone with Go installed.

.DEFAULT_GOAL := help
.PHONY: help demo chat test lint api proofs routers wrappers fuzz mutate soak outages bench bench-tables bench-compare bench-record

# How long each fuzz target and each benchmark runs.
FUZZTIME ?= 5m
BENCHTIME ?= 100ms
# Which benchmarks; bench runs all by default, the comparison a few.
BENCH ?=
# Where bench draws the picture of the README.
PICTURE ?= docs/speed.svg

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Run the counter on http://127.0.0.1:3000.
	go run ./examples/counter

chat: ## Run the chat there, on two nodes behind nginx (CHAT_STORE names a database).
	@.ci/require nginx $(if $(CHAT_STORE),,postgres)
	@examples/chat/two-nodes.sh

# STAY_TEST_REQUIRE makes a missing browser, tool or server a failure: nothing is
# skipped silently. Most packages wait for disks, servers and browsers, so twice as
# many run at once as there are processors. Without GORACE each of the programs that
# tests run, thousands of them, waits a second for races before it ends. .ci/tmp names
# a folder in memory, where nobody waits for a disk that syncs; what the compiler
# writes is not for it. SQLite was translated from C and is full of pointers: that the
# race detector checks them all takes half of its time. make lint has all of go vet.
test: ## Test every module with the race detector.
	@.ci/require caddy cc chromium nginx postgres pgbouncer redis strace systemd workerd wrangler
	CGO_ENABLED=1 STAY_TEST_REQUIRE=1 GORACE=atexit_sleep_ms=10 GOTMPDIR=$${TMPDIR:-/tmp} TMPDIR=$$(.ci/tmp) \
		go test -race -gcflags 'modernc.org/...=-d=checkptr=0' -p $$((2 * $$(getconf _NPROCESSORS_ONLN))) -timeout 30m ./tests/... work
	go test ./tests/allocs # the race detector takes more stack

lint: ## Lint every module and check that each go.mod is tidy.
	@.ci/lint

api: ## Pin what users see of the published packages (tests/testdata/api).
	go test ./tests -run '^TestPublishedSurface$$' -count 1 -update

proofs: ## Write the list of the tests that prove each rule (docs/proofs.md).
	go test ./tests -run '^TestProofsAreUpToDate$$' -count 1 -update

routers: ## Write the table of what was checked with routers (docs/routers.md).
	go test ./tests/routers -run '^TestRouters$$' -count 1 -update

wrappers: ## Write the table of middleware around web.Sessions (docs/routers.md).
	go test ./tests/wrappers -run '^TestWrappers$$' -count 1 -update

fuzz: ## Run every fuzz target, each for FUZZTIME (5m): about an hour in all.
	@FUZZTIME=$(FUZZTIME) .ci/fuzz

mutate: ## Break lines on purpose and see that tests notice (20 to 40 minutes).
	go run ./tests/mutate

soak: ## Run the long tests (TestSoak...), without the race detector.
	@.ci/require postgres redis strace workerd
	STAY_SOAK=1 STAY_TEST_REQUIRE=1 STAY_SOAK_REPORTS=$(CURDIR)/soak-reports go test -v -count 1 -timeout 4h -run '^TestSoak' work

outages: ## Measure for how long writes fail when a node or PostgreSQL fails.
	@.ci/require postgres
	STAY_OUTAGES=1 STAY_TEST_REQUIRE=1 go test -v -count 1 -timeout 30m -run '^TestOutages$$' ./tests/nodes

bench: ## Run the Go benchmarks (BENCH selects), compare with others, draw docs/speed.svg.
	@.ci/require postgres redis
	go test -run '^$$' -bench '$(or $(BENCH),.)' -benchtime $(BENCHTIME) -benchmem work
	go run ./bench/report -picture $(PICTURE)

bench-tables: ## Measure the tables of the guides, and docs/speed.svg, again (18 minutes).
	go run ./bench/report -rounds 8 -table docs/performance.md -picture $(PICTURE) \
		-scenarios memory,memory-one,sqlite,sqlite-10k,sqlite-100k,sqlite-100k-skewed,sqlite-one,read
	go run ./bench/report -rounds 8 -table docs/deployment.md -scenarios sqlite,sqlite-100k -only stay-sqlite \
		-env 'GOGC=100,GOGC=200,GOGC=400,GOGC=off GOMEMLIMIT=256MiB'

bench-compare: ## Run some Go benchmarks (BENCH selects) and compare with the recorded run.
	go run ./bench/compare $(if $(BENCH),-bench '$(BENCH)')

bench-record: ## Run them and record the run.
	go run ./bench/compare -record $(if $(BENCH),-bench '$(BENCH)')
