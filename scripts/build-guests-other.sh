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

# guest NAME FUNCTION FOLDER SOURCE...: runs FUNCTION OUTPUT unless NAME is up to date. FOLDER may hold NAME.toml, the operator's settings.
guest() {
  local name=$1 build=$2 now started=$SECONDS
  shift 2
  now=$(stamp "$@" "../scripts/build-guests-other.sh")
  if [ -f "$DIST/$name.wasm" ] && [ "$(cat "target/other/$name.stamp" 2>/dev/null)" = "$now" ]; then return; fi
  "$build" "$PWD/target/other/$name.wasm"
  # Settings first: a host that watches the folder would load the component without.
  if [ -f "$1/$name.toml" ]; then cp "$1/$name.toml" "$DIST/$name.toml"; fi
  mv "target/other/$name.wasm" "$DIST/$name.wasm"
  echo "$now" >"target/other/$name.stamp"
  echo "guests: dist/examples/$name.wasm, $(du -m "$DIST/$name.wasm" | cut -f1) MB in $((SECONDS - started)) s"
}

# python NAME OUTPUT: the program and the world of that name
python() {
  "$VENV/bin/componentize-py" --quiet --wit-path ../wit/v0.1 --wit-path "python/$1/wit" --world "example:$1/$1" \
    componentize --python-path "python/$1" app -o "$2"
}
python_greet() { python greet "$1"; }
python_reply() { python reply "$1"; }

javascript_footer() { (cd javascript && node build.mjs footer/footer.js filter-plugin "$1"); }
# A world of its own needs the contract beside it, as its dependency.
javascript_announce() {
  local wit=$PWD/target/other/announce.wit
  rm -rf "$wit"
  mkdir -p "$wit/deps/plugin"
  cp javascript/announce/wit/world.wit "$wit/"
  cp ../wit/v0.1/*.wit "$wit/deps/plugin/"
  cp -r ../wit/v0.1/deps/* "$wit/deps/"
  (cd javascript && node build.mjs announce/announce.js announce "$1" "$wit")
}

[ -x "$VENV/bin/componentize-py" ] && [ -d javascript/node_modules ] || {
  echo "guests: componentize-py or componentize-js is missing; run ./setup.sh" >&2
  exit 1
}
guest python-greet python_greet python/greet ../scripts/requirements.txt
guest python-reply python_reply python/reply ../scripts/requirements.txt
guest javascript-footer javascript_footer javascript/footer javascript/build.mjs javascript/package-lock.json
guest javascript-announce javascript_announce javascript/announce javascript/build.mjs javascript/package-lock.json
