# Recipes for everyday work. `just --list` shows them; `./setup.sh` installs what they need.
# Everything is built with one profile, `--release`: a second one would build wasmtime twice.

set shell := ["bash", "-euo", "pipefail", "-c"]

[private]
default:
    @just --list --unsorted

# Install what is missing on this machine (idempotent)
setup:
    ./setup.sh

# Build everything and serve the example plugins on 127.0.0.1:9099
run: guests build
    target/release/weir serve --listen 127.0.0.1:9099 --plugins guest-examples/dist/examples

# Build the host. Always the whole workspace with all features, as tests and lints do: another choice of features is another build.
build:
    cargo build --release --workspace --all-features

# Build the guests written in Rust and WAT into guest-examples/dist/{examples,corpus,hostile}
guests:
    scripts/build-guests.sh

# Build the guests written in Python and JavaScript into guest-examples/dist/examples
guests-other:
    scripts/build-guests-other.sh

# All tests: format, lints, unit, conformance, end-to-end, the kit with every kind in Rust and one in Python and in JavaScript, and real data against DuckDB
test: fmt-check guests guests-other lint build
    cargo nextest run --release --workspace --all-features
    cargo test --release --doc --package weir-sdk --all-features
    cd guest-examples && RUSTC=rustc cargo nextest run --target-dir target/lint --release --workspace --lib --bins
    scripts/test-kit.sh ci
    tests/real-data/run.sh

# Start, build, check and test a plugin of every kind in every language, or of some: `just test-kit python pipe`, `just test-kit ci`
test-kit *words: build
    scripts/test-kit.sh {{words}}

# Real clients (the openai SDK, Open WebUI's own functions) against a release build
test-clients: guests build
    tests/clients/run.sh

# The raw log against a real object store (SeaweedFS)
test-object-store:
    tests/object-store/run.sh

# Real public data through `weir run`, the results compared with DuckDB's record for record, into files and a real PostgreSQL
test-data: build
    tests/real-data/run.sh

# Unloads, reloads and crashes in a loop under load, for two minutes instead of 20 s
soak: guests build
    WEIR_SOAK_S=120 cargo nextest run --release --workspace --all-features --no-capture -E 'package(e2e) and test(soak)'

# Warnings are errors
lint:
    cargo clippy --release --workspace --all-targets --all-features -- -D warnings
    # For this machine's own target: clippy has no std for the other where that came from packages.
    cd guest-examples && RUSTC=rustc cargo clippy --target-dir target/lint --release --workspace --all-targets -- -D warnings

# Format all Rust code
fmt:
    cargo fmt --all
    cd guest-examples && cargo fmt

[private]
fmt-check:
    cargo fmt --all --check
    cd guest-examples && cargo fmt --check

# Build the documentation of all crates
doc:
    RUSTDOCFLAGS="-D warnings" cargo doc --release --workspace --all-features --no-deps

# Measure, and write target/bench.json
bench: guests build
    tests/bench/run.sh

# Measure moving data, and write target/bench-data.json; WEIR_BENCH_INSTALL=1 installs the peers from PyPI first
bench-data: guests build
    tests/bench-data/run.sh

# Measure an idle server and a store with a million runs, and write target/bench-runs.json
bench-runs: guests build
    python3 tests/bench-runs/run.py

# Measure signed webhooks that are on disk before they are answered, against a server that does only that
bench-webhooks: build
    tests/bench-webhooks/run.sh

# Accept the snapshots that the tests give now; look at the diff before committing it
bless: guests guests-other build
    INSTA_UPDATE=always WEIR_BLESS=1 cargo nextest run --release --workspace --all-features

# What a release has to pass
ci: test test-clients bench bench-data bench-runs bench-webhooks
