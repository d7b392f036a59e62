# `make` lists the targets. What needs packages or Docker's engine brings them, see scripts/.
.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

CARGO_DENY_VERSION := 0.20.2
TOOLS := target/tools
CARGO_DENY := $(TOOLS)/bin/cargo-deny
MDBOOK_VERSION := 0.5.4
MDBOOK := $(TOOLS)/bin/mdbook

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: ## Try Kozmic here: a stand-in for GitHub, a push, a live log (ONCE=1: stop after the outcome)
	@ONCE='$(ONCE)' scripts/demo

.PHONY: test
test: ## Install what the tests need and run them all: Rust, then browser
	@scripts/test

.PHONY: screenshots
screenshots: ## Take the pictures of the documentation anew
	@scripts/screenshots

.PHONY: check
check: format lint types imports deny book ## Everything about the code that needs no running service

.PHONY: format
format: ## Is the code formatted as `cargo fmt` does it?
	cargo fmt --all --check

.PHONY: lint
lint: ## Clippy, without mercy
	cargo clippy --workspace --all-targets --locked -- -D warnings

.PHONY: types
types: ## Do the types of the pages' and the browser tests' JavaScript fit? (TypeScript checks, nothing is compiled)
	@scripts/types

.PHONY: imports
imports: ## Does every room import only what it may?
	cargo test --package kozmic --test layout --locked

.PHONY: deny
deny: $(CARGO_DENY) ## Licences, banned and duplicate crates, sources
	$(CARGO_DENY) --locked check --hide-inclusion-graph bans licenses sources

.PHONY: book
book: $(MDBOOK) ## Make docs/ into pages with a search, in target/book
	$(MDBOOK) build docs

.PHONY: audit
audit: deny ## deny, and a documentation without warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked

.PHONY: bench
bench: ## Measure Kozmic's own cost, then soak
	@scripts/bench

.PHONY: soak
soak: ## Kill server and engine 200 times, break what is between machines 40 times: nothing may be lost; then fuzz, and the API by its document
	@scripts/bench --soak
	@scripts/fuzz
	@scripts/api

.PHONY: fuzz
fuzz: ## Fuzz what reads strangers' bytes (FUZZ_SECONDS each)
	@scripts/fuzz

.PHONY: clean-demo
clean-demo: ## Remove what a demo has left
	rm -rf demo-data

$(CARGO_DENY):
	cargo install --locked cargo-deny@$(CARGO_DENY_VERSION) --root $(TOOLS)

$(MDBOOK):
	cargo install --locked mdbook@$(MDBOOK_VERSION) --root $(TOOLS)
