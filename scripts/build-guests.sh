#!/usr/bin/env bash
# Builds the guests written in Rust and WAT and puts them into guest-examples/dist:
#   examples/<name>.wasm         with <name>.toml, the operator's settings, where the plugin needs some
#   corpus/<stem>.wasm           bearing the file stems of the recorded pipelines
#   corpus/upload/<stem>.wasm    what tests upload or add by URL, so not to be loaded at the start
#   hostile/<name>.wasm          one attack each; hostile/README.md says what must stop it
#   templates/<name>.wasm        templates of plugins for tests, and made of them, each with its settings:
#   system/, hostile/system/     plugins that work together; actors/README.md lists them
#   hostile/chain/               500 plugins, each of which needs the next
# A file that has not changed is left alone, so that file watchers and caches stay quiet. What is no longer built is removed.
set -euo pipefail
cd "$(dirname "$0")/../guest-examples"

TARGET=wasm32-wasip2
BUILT=target/$TARGET/release
FAST=target/$TARGET/fast
declare -A KEPT

# put FILE DESTINATION
put() {
  KEPT[$2]=1
  cmp -s "$1" "$2" && return
  mkdir -p "$(dirname "$2")"
  # Under another name first: whoever watches the folder never sees half a file.
  cp "$1" "$2.new"
  mv "$2.new" "$2"
  echo "guests: $2"
}

# crate_folder FOLDER DESTINATION: a crate in each subfolder, its component named after the subfolder
crate_folder() {
  local folder name built
  for folder in "$1"/*/; do
    name=$(basename "$folder")
    built=$FAST/${name//-/_}.wasm
    [ -f "$built" ] || built=$BUILT/${name//-/_}.wasm
    [ -f "$built" ] || continue
    put "$built" "$2/$name.wasm"
    if [ -f "$folder/$name.toml" ]; then put "$folder/$name.toml" "$2/$name.toml"; fi
  done
}

messages=$(cargo build --quiet --release --target $TARGET --target-dir target --workspace --lib --examples --message-format=json-render-diagnostics) || {
  echo "guests: the build failed; if std for $TARGET is missing, run ./setup.sh" >&2
  exit 1
}
# Made for speed, so built for it.
cargo build --quiet --profile fast --target $TARGET --target-dir target --package clean-events
# Where the build script of hostile/assemble has left its components.
assembled=$(sed -n '/"build-script-executed"/s/.*hostile\/assemble#.*"out_dir":"\([^"]*\)".*/\1/p' <<<"$messages" | tail -1)

crate_folder examples dist/examples
for source in corpus/examples/*.rs; do
  stem=$(basename "$source" .rs)
  case $stem in
    added | upped | gen_words_2) put "$BUILT/examples/$stem.wasm" "dist/corpus/upload/$stem.wasm" ;;
    *) put "$BUILT/examples/$stem.wasm" "dist/corpus/$stem.wasm" ;;
  esac
done

for component in "$assembled"/*.wasm; do put "$component" "dist/hostile/$(basename "$component")"; done
for source in hostile/attacks/examples/*.rs; do
  name=$(basename "$source" .rs)
  put "$BUILT/examples/$name.wasm" "dist/hostile/${name//_/-}.wasm"
done
for settings in hostile/attacks/*.toml; do
  case $settings in */Cargo.toml) ;; *) put "$settings" "dist/hostile/$(basename "$settings")" ;; esac
done

for source in actors/examples/*.rs; do
  name=$(basename "$source" .rs)
  put "$BUILT/examples/$name.wasm" "dist/templates/${name#actor_}.wasm"
done
for component in "$assembled"/templates/*.wasm; do put "$component" "dist/templates/$(basename "$component")"; done
python3 actors/stamp.py dist/templates dist

# Python and JavaScript guests are another script's.
shopt -s nullglob
for file in dist/examples/*.{wasm,toml} dist/corpus/*.wasm dist/corpus/upload/*.wasm dist/hostile/* dist/templates/*; do
  case $file in dist/examples/python-* | dist/examples/javascript-*) continue ;; esac
  if [ -f "$file" ] && [ -z "${KEPT[$file]:-}" ]; then
    rm "$file"
    echo "guests: removed $file"
  fi
done
