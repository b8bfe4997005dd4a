#!/usr/bin/env bash
# Installs what Weir's build, run and test need, on Debian 12 (or a relative) with rustup's stable Rust, Python 3 and Node.
# Run it again whenever you like: a step that has nothing to do takes no time.
#
# What it changes: Debian packages, only where a program is missing (as root or through sudo); `just` and `cargo-nextest`,
# only where missing, into the first writable one of ~/.cargo/bin, ~/.local/bin, /usr/local/bin that is on the PATH;
# .tools/ and guest-examples/ in this folder; and ~/.cache/weir where Rust has no target wasm32-wasip2.
#
# WEIR_GUEST_STD=rustup|registries chooses where the target wasm32-wasip2 comes from: scripts/setup-guest-toolchain.sh --help
set -euo pipefail
cd "$(dirname "$0")"

MIN_RUST=95 # 1.95, as `rust-version` in Cargo.toml
MIN_NODE=18 # as `engines` in guest-examples/javascript/package.json
TOOLS=$PWD/.tools
VENV=$TOOLS/venv

say() { echo "setup: $*"; }
die() { echo "setup: error: $*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# step TITLE FUNCTION: runs it, and says how long it took
step() {
  local started=$SECONDS
  say "$1"
  "$2"
  say "  done in $((SECONDS - started)) s"
}

# install PACKAGE...: Debian packages, or a clear word on what to do
install() {
  local run=()
  have apt-get || die "please install these with your system's package manager, then run setup.sh again: $*"
  if [ "$(id -u)" != 0 ]; then
    have sudo && sudo -n true 2>/dev/null || die "please run, then start setup.sh again: sudo apt-get install $*"
    run=(sudo -n)
  fi
  say "  apt-get install $*"
  "${run[@]}" apt-get update -qq || say "  apt-get update had errors; going on with the lists there are"
  "${run[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null >/dev/null ||
    die "apt-get install failed: $*"
}

check_system() {
  local packages=()
  have cc && have ar || packages+=(build-essential)
  have curl || packages+=(curl)
  have openssl || packages+=(openssl)
  have python3 || packages+=(python3)
  have python3 && python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
  have node && have npm || packages+=(nodejs npm)
  have psql && { have postgres || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; } || packages+=(postgresql)
  [ ${#packages[@]} = 0 ] || install "${packages[@]}"
  [ "$(node -p 'process.versions.node.split(".")[0]')" -ge "$MIN_NODE" ] || die "Node $MIN_NODE or newer is needed, this is $(node -v)"
  say "  $(cc --version | head -1); $(python3 -V); Node $(node -v)"
}

check_rust() {
  have cargo && have rustc || die "there is no Rust here; install it with rustup: https://rustup.rs"
  local minor
  minor=$(rustc -V | sed -n 's/^rustc 1\.\([0-9]*\)\..*/\1/p')
  [ "${minor:-0}" -ge "$MIN_RUST" ] || die "Rust 1.$MIN_RUST or newer is needed, this is $(rustc -V); run: rustup update stable"
  cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || rustup component add rustfmt clippy ||
    die "rustfmt or clippy is missing; run: rustup component add rustfmt clippy"
  say "  $(rustc -V)"
}

# Python packages, pinned, in a folder of this checkout.
install_python() {
  local wanted
  wanted=$(cksum <scripts/requirements.txt)
  if [ -x "$VENV/bin/python" ] && [ "$(cat "$VENV/weir-stamp" 2>/dev/null)" = "$wanted" ]; then
    say "  nothing to do"
    return
  fi
  rm -rf "$VENV"
  python3 -m venv "$VENV"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r scripts/requirements.txt
  echo "$wanted" >"$VENV/weir-stamp"
}

# Where programs go that the caller's shell must find at once.
bin_folder() {
  local folder
  for folder in "${CARGO_HOME:-$HOME/.cargo}/bin" "$HOME/.local/bin" /usr/local/bin; do
    case ":$PATH:" in
      *":$folder:"*) if [ -d "$folder" ] && [ -w "$folder" ]; then echo "$folder"; return; fi ;;
    esac
  done
  die "none of ~/.cargo/bin, ~/.local/bin and /usr/local/bin is on your PATH and writable; run: export PATH=\"\$HOME/.cargo/bin:\$PATH\""
}

install_programs() {
  local program folder
  for program in just cargo-nextest; do
    if have "$program"; then continue; fi
    folder=$(bin_folder)
    command install -m 755 "$VENV/bin/$program" "$folder/$program"
    say "  $folder/$program"
  done
  say "  $(just --version), $(cargo nextest --version | head -1)"
}

install_guest_toolchain() { scripts/setup-guest-toolchain.sh --config-dir guest-examples 2>&1 | sed 's/^/setup:   /'; }

# Node packages for the guest written in JavaScript, as its lock file says.
install_node() {
  local folder=guest-examples/javascript wanted
  wanted=$(cksum <"$folder/package-lock.json")
  if [ "$(cat "$folder/node_modules/.weir-stamp" 2>/dev/null)" = "$wanted" ]; then
    say "  nothing to do"
    return
  fi
  (cd "$folder" && npm ci --silent --no-audit --no-fund)
  echo "$wanted" >"$folder/node_modules/.weir-stamp"
}

step "system: C compiler, Python, Node, PostgreSQL" check_system
step "Rust" check_rust
step "Python packages into .tools/venv" install_python
step "just and cargo-nextest" install_programs
step "Rust's target wasm32-wasip2, for guests" install_guest_toolchain
step "Node packages for the JavaScript guest" install_node
say "ready in $SECONDS s. Next: just run (a server on 127.0.0.1:9099) or just test. All recipes: just --list"
