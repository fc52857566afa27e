# Sluice. `make sandbox` tries it, `make test` proves it.

GO       ?= go
PROGRAMS := confctl pool depool drain decommission restart-service lbd sandbox

.PHONY: build sandbox test race vet lint bench fuzz clean

build:
	$(GO) build -o bin/ $(PROGRAMS:%=./cmd/%)

sandbox: build
	@bin/sandbox

test:
	$(GO) test ./...

race:
	$(GO) test -race ./...

vet:
	$(GO) vet ./...
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'gofmt: the files above are not formatted'; exit 1; }

lint:
	$(GO) tool staticcheck ./...

bench:
	$(GO) test -run '^$$' -bench . -benchtime 200x ./test/bench

clean:
	rm -rf bin
