#!/usr/bin/env bash
# Measures taking signed webhooks that are on disk before they are answered, against a small server that does only that. Needs wrk.
#   tests/bench-webhooks/run.sh
# WEIR_BENCH_ROUNDS (5), WEIR_BENCH_SECONDS (5), WEIR_BENCH_CONNECTIONS (64); WEIR_BENCH_OUT: where the report goes (target/bench-webhooks/report.json).
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release --workspace --all-features
cargo build --release --workspace --all-features --example webhook-baseline
exec python3 tests/bench-webhooks/run.py
