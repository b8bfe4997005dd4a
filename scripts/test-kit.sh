#!/usr/bin/env bash
# Walks the author's way for kinds and languages: weir new, weir build, weir check, weir test, and the project's own tests. Prints a
# table of seconds; fails if one of them fails, and shows what was said.
#
# Usage: scripts/test-kit.sh [ci | WORD...]
#   no word   every kind in every language, and a plugin with every capability in each
#   ci        every kind in Rust, a pipe in Python and in JavaScript, and a plugin with every capability in Rust
#   WORD...   languages (rust, python, js) and kinds (pipe, .., provider, and every: a pipe with every capability); `python pipe hook`
#
# WEIR=FILE       the program (default: target/release/weir)
# WEIR_KIT_DIR=D  where the projects go, and stay (default: a temporary folder, removed at the end)
set -euo pipefail
cd "$(dirname "$0")/.."

ROOT=$PWD
WEIR=$(realpath "${WEIR:-target/release/weir}")
export WEIR_COMPONENTIZE_PY=${WEIR_COMPONENTIZE_PY:-$ROOT/.tools/venv/bin/componentize-py}
KINDS=(pipe manifold filter source transform sink hook provider every)
CAPABILITIES=(http state events calls secrets metrics)

die() { echo "test-kit: error: $*" >&2; exit 64; }
[ -x "$WEIR" ] || die "there is no program $WEIR; run: just build"

languages=() kinds=() pairs=()
for word in "$@"; do
  case $word in
    ci) for kind in "${KINDS[@]}"; do pairs+=("rust $kind"); done && pairs+=("python pipe" "js pipe") ;;
    rust | python | js) languages+=("$word") ;;
    pipe | manifold | filter | source | transform | sink | hook | provider | every) kinds+=("$word") ;;
    *) die "unknown word '$word'; known are ci, rust, python, js, ${KINDS[*]}" ;;
  esac
done
if [ ${#pairs[@]} = 0 ]; then
  for language in "${languages[@]:-rust python js}"; do
    # Without a word for it: all.
    for language in $language; do
      for kind in "${kinds[@]:-${KINDS[@]}}"; do pairs+=("$language $kind"); done
    done
  done
fi

if [ -n "${WEIR_KIT_DIR:-}" ]; then
  mkdir -p "$WEIR_KIT_DIR"
  WORK=$(realpath "$WEIR_KIT_DIR")
else
  WORK=$(mktemp -d)
  trap 'rm -rf "$WORK"' EXIT
fi

# own_tests LANGUAGE: the tests that need no component, in the project's folder
own_tests() {
  case $1 in
    rust) RUSTC=rustc CARGO_TARGET_DIR=$ROOT/guest-examples/target/lint cargo test --quiet --release ;;
    python) if [ -f test_logic.py ]; then python3 -m unittest --quiet; fi ;;
    js) if [ -f logic.test.js ]; then node --test; fi ;;
  esac
}

# prepare LANGUAGE: what an author gets from a registry comes from what the checkout has got already
prepare() {
  case $1 in
    rust) cp "$ROOT/guest-examples/Cargo.lock" . ;;
    js) ln -s "$ROOT/guest-examples/javascript/node_modules" node_modules ;;
  esac
}

# step NAME COMMAND...: runs it with its words in the log; its seconds go to TIMES
step() {
  local name=$1 started=${EPOCHREALTIME/./}
  shift
  echo "== $name: $*" >>"$LOG"
  "$@" >>"$LOG" 2>&1 </dev/null || { FAILED=$name && return 1; }
  local took=$(((${EPOCHREALTIME/./} - started) / 10000))
  TIMES+=$(printf '%7d.%02d' $((took / 100)) $((took % 100)))
}

# walk LANGUAGE KIND: the whole way
walk() {
  local language=$1 kind=$2 name=kit-$2 options=()
  local folder=$WORK/$language/$name
  if [ "$language" = rust ]; then options=(--sdk crates/weir-sdk); fi
  if [ "$kind" = every ]; then
    kind=pipe
    for capability in "${CAPABILITIES[@]}"; do options+=(--capability "$capability"); done
  fi
  step new "$WEIR" new "$name" --kind "$kind" --lang "$language" --dir "$folder" "${options[@]}" || return 1
  (cd "$folder" && prepare "$language")
  # The target folder of the guests has the packages built already.
  step build env CARGO_TARGET_DIR="$ROOT/guest-examples/target" "$WEIR" build "$folder" || return 1
  step check "$WEIR" check "$folder/dist/$name.wasm" || return 1
  step test "$WEIR" test "$folder/dist/$name.wasm" || return 1
  cd "$folder"
  step own own_tests "$language" || return 1
  cd "$ROOT"
}

printf '%-8s %-10s%10s%10s%10s%10s%10s\n' language kind new build check test own
bad=0
for pair in "${pairs[@]}"; do
  read -r language kind <<<"$pair"
  mkdir -p "$WORK/$language"
  LOG=$WORK/$language/$kind.log TIMES= FAILED=
  : >"$LOG"
  if walk "$language" "$kind"; then
    printf '%-8s %-10s%s\n' "$language" "$kind" "$TIMES"
  else
    cd "$ROOT"
    bad=$((bad + 1))
    printf '%-8s %-10s%s  %s failed:\n' "$language" "$kind" "$TIMES" "$FAILED"
    sed 's/^/    /' "$LOG"
  fi
done
echo "test-kit: $((${#pairs[@]} - bad)) of ${#pairs[@]} in $SECONDS s"
[ $bad = 0 ]
