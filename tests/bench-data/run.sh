#!/usr/bin/env bash
# Measures moving data: one job (1,000,000 NDJSON records, filter and map, file to file) by hand-written typed Rust, by Weir's native stages, by a plugin, and by the peers found on this
# machine, in alternation; checks every output by count, sum and xor; writes target/bench-data.json. Takes some minutes.
# Needs: target/release/weir, guest-examples/dist/examples/clean-events.wasm, python3. Peers are taken from PATH and from WEIR_BENCH_PYTHON (an interpreter with duckdb, polars, bytewax, orjson,
# dlt), default: target/bench-data/venv, which WEIR_BENCH_INSTALL=1 makes.
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p target/bench-data
cargo build --release --package e2e --bin typed
venv=target/bench-data/venv
if [ "${WEIR_BENCH_INSTALL:-}" = 1 ] && [ ! -x "$venv/bin/python" ]; then
  python3 -m venv "$venv"
  for package in orjson duckdb polars bytewax dlt; do
    "$venv/bin/pip" install --quiet "$package" || echo "bench-data: $package cannot be installed here, so it is left out"
  done
fi
exec python3 tests/bench-data/run.py
