#!/usr/bin/env bash
# Real clients against the release build: the openai SDK, and Open WebUI's own functions out of its wheels.
# Needs: a built weir (target/release/weir, or the one WEIR_BIN names), built guests, PyPI on the first run.
set -euo pipefail
cd "$(dirname "$0")"

CACHE=../../target/clients
VENV=$CACHE/venv
WHEELS="0.12.4 0.6.15"

wanted=$(cat requirements.txt | cksum)
if [ "$(cat "$VENV/weir-stamp" 2>/dev/null)" != "$wanted" ]; then
  echo "clients: installing the pinned packages"
  rm -rf "$VENV"
  mkdir -p "$CACHE"
  python3 -m venv "$VENV"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt
  echo "$wanted" >"$VENV/weir-stamp"
fi

# Of Open WebUI only the module that talks to a pipelines server is taken: its wheel has hundreds of megabytes besides.
for version in $WHEELS; do
  target=$CACHE/open-webui-$version/pipelines.py
  if [ ! -f "$target" ]; then
    echo "clients: fetching Open WebUI $version"
    mkdir -p "$CACHE/wheels" "$(dirname "$target")"
    "$VENV/bin/python" -m pip download --quiet --disable-pip-version-check --no-deps --ignore-requires-python \
      --dest "$CACHE/wheels" "open-webui==$version"
    "$VENV/bin/python" - "$CACHE/wheels/open_webui-$version-py3-none-any.whl" "$target" <<'PYTHON'
import sys, zipfile
wheel, target = sys.argv[1:]
text = zipfile.ZipFile(wheel).read("open_webui/routers/pipelines.py")
open(target, "wb").write(text)
PYTHON
    rm -rf "$CACHE/wheels"
  fi
done

exec "$VENV/bin/python" run.py "$CACHE"
