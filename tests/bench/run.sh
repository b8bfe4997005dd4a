#!/usr/bin/env bash
# Measures the release build against a bare hyper server, in the same run on the same machine; writes target/bench.json and the
# table in docs/benchmarks.md. Takes about two minutes.
# Needs: target/release/weir (or WEIR_BIN), built guests, wrk (installed from Debian's packages where it is missing).
# WEIR_PYTHON_REFERENCE=http://host:port of an Open WebUI Pipelines server with a pipe `ok` adds the comparison with it.
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! command -v wrk >/dev/null 2>&1; then
  echo "bench: installing wrk"
  run=()
  [ "$(id -u)" = 0 ] || run=(sudo -n)
  "${run[@]}" apt-get update -qq || true
  "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends wrk </dev/null >/dev/null ||
    { echo "bench: error: wrk is missing; please install it: sudo apt-get install wrk" >&2; exit 1; }
fi
if [ -z "${WEIR_HELLO:-}" ]; then
  cargo build --release --package e2e --bin hello
fi
exec python3 tests/bench/run.py
