# Kernel tests: `make lab-test` runs them on a kernel that has IPVS (this one, or
# User Mode Linux fetched into the user's cache); `make lab-setup` only fetches.
LAB := $(dir $(lastword $(MAKEFILE_LIST)))
LAB_PACKAGES ?= ./internal/dataplane/ipvs ./test/lab
LAB_FLAGS ?=

.PHONY: lab-setup lab-test

lab-setup:
	$(LAB)setup

lab-test:
	$(LAB)run $(LAB_PACKAGES) -- $(LAB_FLAGS)
