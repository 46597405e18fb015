# Everything a developer or a build machine runs. `make help` lists it.

.PHONY: build static demo test faults soak check bench bench-quick bench-killed fixtures help

SECONDS = 1800

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 13

build: ## the optimised binary, target/release/hoist
	cargo build --release --locked

static: ## the binary that runs anywhere on Linux, target/static/hoist
	@sh tests/static/build.sh

demo: ## push the fixtures into a registry started for it, and list what arrived
	@sh tests/demo.sh

# Many tests wait, for what is cut, stalled or slow: one for each processor would leave it idle.
test: ## all tests; registries that are not on PATH are named as skipped
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$((2 * $$(getconf _NPROCESSORS_ONLN)))} cargo test --locked

soak: ## readers of what others wrote under mutated inputs, for SECONDS=1800
	@HOIST_SOAK_SECONDS=$(SECONDS) cargo test --quiet --locked --lib soak::tests::readers -- --nocapture

faults: ## 500 pushes over networks that fail, by seed, and 24 that are killed; HOIST_FAULT_SEEDS=500-999 makes others
	@HOIST_FAULT_SEEDS=$${HOIST_FAULT_SEEDS:-500} cargo test --quiet --locked --test it faults::seeds -- --exact
	@HOIST_KILL_SEEDS=$${HOIST_KILL_SEEDS:-12} cargo test --quiet --locked --test it kill::

check: ## formatting, lints and documentation, warnings denied; silent when all is well
	@cargo fmt --check
	@cargo clippy --quiet --locked --all-targets -- -D warnings
	@RUSTDOCFLAGS='-D warnings -A rustdoc::private-intra-doc-links' cargo doc --quiet --locked --no-deps --document-private-items

bench: ## hoist beside crane, skopeo, regctl and oras, where these are on PATH, and its goals
	@python3 tests/bench/run.py

bench-quick: ## the same with smaller images, once, in about a minute
	@python3 tests/bench/run.py quick

bench-killed: ## what the second run of a push sends when the first was killed at 90 %
	@python3 tests/bench/killed.py

fixtures: ## make the fixtures again, with the tools that made them
	@sh fixtures/make.sh
