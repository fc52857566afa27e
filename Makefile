# Sluice. `make sandbox` tries it, `make test` proves it.

GO       ?= go
PROGRAMS := confctl conftool-sync pool depool drain decommission restart-service lbd sandbox
FUZZTIME ?= 10s

# Where things are built, and where `make install` puts them: below PREFIX, with
# DESTDIR in front for packages.
OUT     ?= bin
PREFIX  ?= /usr/local
DESTDIR ?=

.PHONY: build man install sandbox test race browser vet lint fuzz bench clean

build:
	$(GO) build -o $(OUT)/ $(PROGRAMS:%=./cmd/%)

sandbox: build
	@$(OUT)/sandbox

# A manual page for every command, from the same source as --help.
man:
	$(GO) run ./cmd/manpages $(OUT)/man
	@echo 'read one: man -l $(OUT)/man/confctl.1'

# The programs, their manual, what shells complete, and the unit of lbd. Nothing
# is started or enabled, and no configuration written.
INSTALLED = $(filter-out sandbox,$(PROGRAMS))
SHARE     = $(DESTDIR)$(PREFIX)/share
UNITS     = $(DESTDIR)$(PREFIX)/lib/systemd/system

install: build man
	install -d $(DESTDIR)$(PREFIX)/bin $(UNITS) $(SHARE)/man/man1 $(SHARE)/bash-completion/completions \
		$(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d
	install -m 755 $(INSTALLED:%=$(OUT)/%) $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(OUT)/man/*.1 $(SHARE)/man/man1
	set -e; umask 022; for program in $(INSTALLED); do \
		$(OUT)/$$program completion bash >$(SHARE)/bash-completion/completions/$$program; \
		$(OUT)/$$program completion zsh >$(SHARE)/zsh/site-functions/_$$program; \
		$(OUT)/$$program completion fish >$(SHARE)/fish/vendor_completions.d/$$program.fish; \
	done
	umask 022; sed 's|/usr/bin/lbd|$(PREFIX)/bin/lbd|' dist/systemd/lbd.service >$(UNITS)/lbd.service

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
	rm -rf $(OUT)

include test/lab/lab.mk
