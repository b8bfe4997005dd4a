#!/usr/bin/env bash
# Builds the guests written in Python and JavaScript into guest-examples/dist/examples. A guest is built only if it, the contract or
# the tools have changed since: each takes the better part of a minute.
set -euo pipefail
cd "$(dirname "$0")/../guest-examples"

VENV=$PWD/../.tools/venv
DIST=$PWD/dist/examples
mkdir -p "$DIST" target/other

# stamp FILE...: one line that changes when one of them does
stamp() { find ../wit/v0.1 "$@" -type f -not -path '*/__pycache__/*' -print0 | sort -z | xargs -0 cksum | cksum; }

# guest NAME FUNCTION SOURCE...: runs FUNCTION OUTPUT unless NAME is up to date
guest() {
  local name=$1 build=$2 now started=$SECONDS
  shift 2
  now=$(stamp "$@" "../scripts/build-guests-other.sh")
  if [ -f "$DIST/$name.wasm" ] && [ "$(cat "target/other/$name.stamp" 2>/dev/null)" = "$now" ]; then return; fi
  "$build" "$PWD/target/other/$name.wasm"
  mv "target/other/$name.wasm" "$DIST/$name.wasm"
  echo "$now" >"target/other/$name.stamp"
  echo "guests: dist/examples/$name.wasm, $(du -m "$DIST/$name.wasm" | cut -f1) MB in $((SECONDS - started)) s"
}

python_greet() {
  "$VENV/bin/componentize-py" --quiet --wit-path ../wit/v0.1 --wit-path python/greet/wit --world example:greet/greet \
    componentize --python-path python/greet app -o "$1"
}
javascript_footer() { (cd javascript && node build.mjs footer/footer.js filter-plugin "$1"); }

[ -x "$VENV/bin/componentize-py" ] && [ -d javascript/node_modules ] || {
  echo "guests: componentize-py or componentize-js is missing; run ./setup.sh" >&2
  exit 1
}
guest python-greet python_greet python ../scripts/requirements.txt
guest javascript-footer javascript_footer javascript/footer javascript/build.mjs javascript/package-lock.json
