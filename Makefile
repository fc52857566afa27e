# Sluice. `make sandbox` tries it, `make test` proves it.

GO       ?= go
PROGRAMS := confctl conftool-sync pool depool drain decommission restart-service lbd sandbox
FUZZTIME ?= 10s

.PHONY: build man sandbox test race browser vet lint fuzz bench clean

build:
	$(GO) build -o bin/ $(PROGRAMS:%=./cmd/%)

sandbox: build
	@bin/sandbox

# A manual page for every command, from the same source as --help.
man:
	$(GO) run ./cmd/manpages bin/man
	@echo 'read one: man -l bin/man/confctl.1'

# All tests: those of this machine, one in a browser among them, then those that
# need a kernel with IPVS.
test:
	@test -n "$$SLUICE_SITE_DATA" -o -d ../shared/data/conftool-data || \
		echo 'SKIPPED: the tests on a real site'"'"'s data; SLUICE_SITE_DATA names its directory'
	@cd test/etcdv2 && $(GO) build -o /dev/null . || true # once, before three packages do it side by side
	@test/browser/setup --for-tests
	SLUICE_BROWSER=$$(test/browser/setup --path) $(GO) test -timeout 20m ./...
	@$(MAKE) --no-print-directory lab-test

race:
	@test/browser/setup --for-tests
	SLUICE_BROWSER=$$(test/browser/setup --path) $(GO) test -race -timeout 20m ./...

# A browser for the tests of the status page, where none is installed.
browser:
	@test/browser/setup

vet:
	$(GO) vet ./...
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'gofmt: the files above are not formatted'; exit 1; }

lint:
	$(GO) tool staticcheck ./...

# Every fuzz target in turn, for FUZZTIME each ("10s", or "200x" for a count).
fuzz:
	@$(GO) test -list '^Fuzz' ./... | awk '/^Fuzz/ { f[n++] = $$1 } /^ok/ { for (i = 0; i < n; i++) print $$2, f[i]; n = 0 }' | \
	while read -r package target; do \
		echo "fuzz $$package $$target"; \
		$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package" >fuzz.out 2>&1 || { cat fuzz.out; exit 1; }; \
	done; rm -f fuzz.out

# Each stage of a change's way, beside the raw floor it stands on.
bench:
	$(GO) test -run '^$$' -bench '^Benchmark[^C]' -benchtime 300x ./test/bench
	$(GO) test -run '^$$' -bench Confctl -benchtime 20x ./test/bench

clean:
	rm -rf bin

include test/lab/lab.mk
