# Two commands are all that a newcomer needs: `make demo` and `make test`. Both set up what they need.
# What each takes is in CONTRIBUTING.md.

SHELL := /bin/bash
KUBE_VERSIONS := 1.37 1.34
export KUBE_VERSION ?= 1.37
CARGO := cargo --locked
PACKAGES := $(shell cat tests/cluster/packages)
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

.PHONY: help demo test setup packages cluster build lint chart unit e2e docs licences clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup build ## See it on a real cluster: Pods refused, accepted, warned and undecided
	tests/cluster/run demo/demo target/debug/gpu-capgate

test: lint docs licences chart unit e2e ## Everything that CI checks

setup: packages cluster ## Debian packages and cluster binaries; instant when they are there

packages:
	@missing=$$(dpkg-query --show --showformat='$${db:Status-Abbrev}$${Package}\n' $(PACKAGES) 2>/dev/null | sed -n 's/^ii *//p' \
	  | sort | comm -13 - <(printf '%s\n' $(PACKAGES) | sort)); \
	if [ -n "$$missing" ]; then \
	  echo "setup    installing Debian packages:" $$missing; \
	  $(SUDO) apt-get update -qq && $(SUDO) apt-get install -qq --yes --no-install-recommends $$missing > /dev/null; \
	fi

cluster: packages
	@tests/cluster/build

build:
	$(CARGO) build

lint: packages ## Formatting and clippy
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets -- -D warnings
	shellcheck --severity=warning tests/cluster/{run,enter,build,measure,pack-image,product-image,stand-in-image} tests/cluster/*.sh demo/demo tests/chart deploy/render

chart: cluster ## The Helm chart, rendered in several ways
	@PATH="$$(tests/cluster/build --path):$$PATH" tests/chart

docs: ## The documentation of the code
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps

licences: ## Licences and sources of all dependencies
	@command -v cargo-deny > /dev/null || { echo "setup    installing cargo-deny"; cargo install --locked --quiet cargo-deny@0.20.2; }
	$(CARGO) fetch --quiet # every platform's crates: the offline check reads them all
	cargo deny --offline check licenses bans sources

unit: ## All tests that need no cluster
	$(CARGO) test -- --skip real_cluster

e2e: setup ## The tests on a real cluster, on each Kubernetes version
	@for version in $(KUBE_VERSIONS); do \
	  echo "KUBE_VERSION=$$version cargo test --test it real_cluster"; \
	  KUBE_VERSION=$$version $(CARGO) test --test it real_cluster || exit 1; \
	done

clean:
	cargo clean
