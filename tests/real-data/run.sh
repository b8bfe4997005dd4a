#!/usr/bin/env bash
# Real public data through `weir run`, each result compared with DuckDB's, record for record; the last flow over HTTP into a real PostgreSQL.
# Needs: a built weir (target/release/weir, or the one WEIR_BIN names), npm and PyPI on the first run, PostgreSQL's programs.
set -euo pipefail
cd "$(dirname "$0")"

CACHE=$(realpath -m ../../target/real-data)
VENV=$CACHE/venv
DATA=vega-datasets@3.2.1

mkdir -p "$CACHE"
wanted=$(cksum <requirements.txt)
if [ "$(cat "$VENV/weir-stamp" 2>/dev/null)" != "$wanted" ]; then
  echo "real-data: installing DuckDB"
  rm -rf "$VENV"
  python3 -m venv "$VENV"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt
  echo "$wanted" >"$VENV/weir-stamp"
fi
if [ "$(cat "$CACHE/data-stamp" 2>/dev/null)" != "$DATA" ]; then
  echo "real-data: fetching $DATA"
  rm -rf "$CACHE/package"
  (cd "$CACHE" && tar xzf "$(npm pack --silent "$DATA")" package/data)
  echo "$DATA" >"$CACHE/data-stamp"
fi

export WEIR_BIN=${WEIR_BIN:-$(realpath ../../target/release/weir)}
exec "$VENV/bin/python" check.py "$CACHE/package/data" "$CACHE/out" "$(realpath ../../scripts/postgres.sh)"
