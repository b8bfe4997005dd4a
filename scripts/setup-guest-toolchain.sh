#!/usr/bin/env bash
# Makes `cargo build --target wasm32-wasip2` work for ordinary (std) Rust guests. Prints progress on stderr.
#
#   1. The active rustc already has a std for wasm32-wasip2: nothing is done.
#   2. rustup: `rustup target add wasm32-wasip2`.
#   3. Package registries only (no rustup server), on Debian: a private toolchain. Debian's rustc-web compiler is
#      unpacked, not installed; std is built from Debian's rust-web-src with cargo (its dependencies come from
#      crates.io) and linked to Debian's wasi-libc. Nothing is written outside the folder below.
#
# Usage: scripts/setup-guest-toolchain.sh [--config-dir DIR] [--help]
#   --config-dir DIR   where 3 is used, write DIR/.cargo/config.toml so that a plain `cargo build` in DIR uses it.
#                      Only a file that this script wrote is replaced; it is removed again when 1 or 2 applies.
#
# WEIR_GUEST_STD=rustup       (default) 1, else 2, else 3
# WEIR_GUEST_STD=registries   1 if the toolchain has the target itself, else 3: rustup is never asked
# WEIR_GUEST_TOOLCHAIN=DIR    where 3 puts its toolchain (default: ${XDG_CACHE_HOME:-~/.cache}/weir/guest-toolchain)
# WEIR_GUEST_REFRESH=1        make it again, from the packages that apt offers now
set -euo pipefail

TARGET=wasm32-wasip2
RECIPE=weir-1 # change it when what 3 builds changes
MARK="# written by scripts/setup-guest-toolchain.sh"
DIR=${WEIR_GUEST_TOOLCHAIN:-${XDG_CACHE_HOME:-$HOME/.cache}/weir/guest-toolchain}
MODE=${WEIR_GUEST_STD:-rustup}
CONFIG_DIR=

say() { echo "guest toolchain: $*" >&2; }
die() { say "error: $*"; exit 1; }
need() { command -v "$1" >/dev/null 2>&1 || die "needs the program '$1' ($2)"; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

while [ $# -gt 0 ]; do
  case $1 in
    --config-dir) CONFIG_DIR=${2:?--config-dir needs a folder}; shift ;;
    -h | --help) sed -n '2,/^set -/p' "$0" | sed '$d; s/^# \{0,1\}//'; exit 0 ;;
    *) die "unknown argument '$1'; known are --config-dir and --help" ;;
  esac
  shift
done
case $MODE in
  rustup | registries) ;;
  *) die "WEIR_GUEST_STD is '$MODE'; allowed are rustup and registries" ;;
esac

# Does this compiler have a std for the target?
has_std() {
  local lib
  lib=$("$1" --print target-libdir --target $TARGET 2>/dev/null) || return 1
  compgen -G "$lib/libstd-*.rlib" >/dev/null
}

# write_config RUSTC: points cargo at it. With an empty RUSTC, takes our file away.
write_config() {
  [ -n "$CONFIG_DIR" ] || return 0
  local file=$CONFIG_DIR/.cargo/config.toml
  if [ -e "$file" ] && ! head -1 "$file" | grep -qF "$MARK"; then
    say "left alone: $file (this script did not write it); set RUSTC=${1:-rustc} yourself"
    return 0
  fi
  if [ -z "$1" ]; then
    rm -f "$file"
    return 0
  fi
  mkdir -p "$CONFIG_DIR/.cargo"
  printf '%s\n# For this machine only: git ignores it.\n[build]\nrustc = "%s"\n' "$MARK" "$1" >"$file.new"
  if cmp -s "$file.new" "$file"; then rm "$file.new"; else mv "$file.new" "$file"; fi
}

finish_native() {
  write_config ''
  say "ready: $(rustc -V) has $TARGET"
  exit 0
}

finish_private() {
  write_config "$DIR/bin/rustc"
  say "ready: $("$DIR/bin/rustc" -V | cut -d' ' -f1,2) with $TARGET, in $DIR"
  exit 0
}

# ---- 1 and 2: the toolchain's own target -----------------------------------------------------------------------
need cargo "rustup's stable Rust: https://rustup.rs"
if has_std rustc; then finish_native; fi
if [ "$MODE" = rustup ]; then
  if command -v rustup >/dev/null 2>&1; then
    say "rustup target add $TARGET"
    if timeout 180 rustup target add $TARGET >&2 && has_std rustc; then finish_native; fi
    say "rustup could not add $TARGET; making it from packages instead"
  else
    say "there is no rustup; making $TARGET from packages instead"
  fi
fi

# ---- 3: a private toolchain ------------------------------------------------------------------------------------
# One run at a time, and always at the same path: cargo derives crate hashes from it, so a std that is made again
# stays compatible with what guests' target folders hold.
mkdir -p "$(dirname "$DIR")"
DIR=$(cd "$(dirname "$DIR")" && pwd)/$(basename "$DIR")
NEW=$DIR.new
if command -v flock >/dev/null 2>&1; then
  exec 9>"$DIR.lock"
  flock -n 9 || { say "waiting for another run of this script"; flock 9; }
fi
if [ -z "${WEIR_GUEST_REFRESH:-}" ] && [ -f "$DIR/stamp" ] && grep -q "^recipe=$RECIPE " "$DIR/stamp" && has_std "$DIR/bin/rustc"; then
  finish_private
fi

need apt-get "this way is made of Debian packages; elsewhere use rustup: https://rustup.rs"
need apt-cache "part of apt"
need dpkg-deb "part of dpkg"
need ar "Debian package binutils"
need cc "Debian package build-essential"
started=$(date +%s)
say "making a private toolchain in $DIR: about 140 MB to download, 480 MB of disk, one to two minutes"

candidate() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: *//p' | grep -v '(none)' || true; }
# dependencies PACKAGE: the names it depends on, one a line
dependencies() {
  apt-cache show --no-all-versions "$1" 2>/dev/null | sed -n 's/^Depends: //p' | tr ',|' '\n\n' | sed 's/^ *//; s/[ (:].*//'
}
# The versions in the names (1.96, 22) follow from what Debian offers now.
resolve() {
  STD=$(dependencies libstd-rust-web-dev | grep -Ex 'libstd-rust-web-[0-9.]+' | head -1) || return 1
  LLVM=$(dependencies "$STD" | grep -Ex 'libllvm[0-9]+' | head -1) || return 1
  LLD=lld-${LLVM#libllvm}
  PACKAGES=(rustc-web libstd-rust-web-dev "$STD" rust-web-llvm "$LLVM" "$LLD" rust-web-src wasi-libc)
  local package
  for package in "${PACKAGES[@]}"; do [ -n "$(candidate "$package")" ] || return 1; done
}
# fetch: all packages into $NEW/debs. Old lists name versions that the archive has already replaced.
fetch() { (cd "$NEW/debs" && rm -f ./*.deb && apt-get download "${PACKAGES[@]}" >/dev/null 2>"$NEW/apt.log"); }
update_lists() {
  say "apt-get update (the package lists are missing or old)"
  as_root apt-get update -qq >&2 || say "apt-get update had errors; going on with the lists there are"
}

mkdir -p "$NEW" && rm -rf "$NEW" && mkdir -p "$NEW/debs" "$NEW/root" "$NEW/src"
trap 'rm -rf "$NEW"' EXIT
updated=
if ! resolve; then
  update_lists
  updated=1
  resolve || die "apt offers no complete set of rustc-web, rust-web-llvm, rust-web-src and wasi-libc (Debian 12 with its security archive has them)"
fi
say "downloading: ${PACKAGES[*]}"
if ! fetch; then
  if [ -z "$updated" ]; then
    update_lists
    resolve || die "apt offers no complete set of packages any more"
  fi
  fetch || { cat "$NEW/apt.log" >&2; die "apt-get download failed (above: its words)"; }
fi

say "unpacking $(du -sm "$NEW/debs" | cut -f1) MB"
for package in "${PACKAGES[@]}"; do
  deb=$(compgen -G "$NEW/debs/${package}_*.deb") || die "apt-get download brought no $package"
  case $package in
    rust-web-src) dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$NEW/src" --wildcards './usr/src/*/library' ;;
    *) dpkg-deb -x "$deb" "$NEW/root" ;;
  esac
done
rm -rf "$NEW/debs"

# Laid out as rustc expects it. Debian's programs have no rpath, so bin/ has small wrappers.
mkdir -p "$NEW/bin" "$NEW/lib" "$NEW/libexec"
mv "$NEW"/root/usr/lib/rustlib "$NEW/lib/"
mv "$NEW"/root/usr/lib/*-linux-gnu*/librustc_driver-*.so "$NEW"/root/usr/lib/*-linux-gnu*/libLLVM.so.* "$NEW/lib/"
mv "$NEW/root/usr/bin/rustc" "$NEW/libexec/rustc"
mv "$NEW"/root/usr/lib/llvm-*/bin/lld "$NEW/libexec/lld"
# wrapper FILE DEPTH PROGRAM [ARGUMENTS]: FILE is DEPTH folders below the toolchain
wrapper() {
  local up
  up=$(printf '/..%.0s' $(seq "$2"))
  rm -f "$1"
  cat >"$1" <<EOF
#!/bin/sh
d=\$(cd "\$(dirname "\$(readlink -f "\$0")")$up" && pwd)
LD_LIBRARY_PATH="\$d/lib\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}" exec "\$d/libexec/$3" ${4:-} "\$@"
EOF
  chmod 755 "$1"
}
wrapper "$NEW/bin/rustc" 1 rustc

missing=$(LD_LIBRARY_PATH="$NEW/lib" ldd "$NEW/libexec/rustc" "$NEW/libexec/lld" 2>/dev/null |
  sed -n 's/^[[:space:]]*\(.*\) => not found/\1/p' | sort -u | tr '\n' ' ')
if [ -n "$missing" ]; then
  mapfile -t libraries < <({ dependencies "$LLVM"; dependencies "$LLD"; } | grep -vx "$LLVM" | sort -u)
  say "missing here: $missing; installing ${libraries[*]}"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${libraries[@]}" </dev/null >/dev/null ||
    die "could not install them; run as root: apt-get install ${libraries[*]}"
fi

HOST=$("$NEW/bin/rustc" -vV | sed -n 's/^host: //p')
TOOLS=$NEW/lib/rustlib/$HOST/bin
[ -x "$TOOLS/wasm-component-ld" ] || die "rust-web-llvm has no wasm-component-ld"
mkdir -p "$TOOLS/gcc-ld"
rm -f "$TOOLS/gcc-ld/"*
wrapper "$TOOLS/gcc-ld/wasm-ld" 5 lld "-flavor wasm"
wrapper "$TOOLS/rust-lld" 4 lld

LIB=$NEW/lib/rustlib/$TARGET/lib
mkdir -p "$LIB/self-contained" "$NEW/lib/rustlib/src"
mv "$NEW"/src/usr/src/rustc-* "$NEW/lib/rustlib/src/rust"
mv "$NEW"/root/usr/lib/wasm32-wasi/{libc.a,crt1-command.o,crt1-reactor.o} "$LIB/self-contained/"

# This wasi-libc is for WASI preview 1; wasm-component-ld adapts its imports to WASI 0.2. What it lacks and std refers to
# (sockets, threads, file modes) gets weak definitions that answer with an error code.
cat >"$NEW/src/missing.rs" <<'EOF'
#![no_std]
#![feature(thread_local, linkage)]
use core::ffi::{c_char, c_int, c_void};
unsafe extern "C" {
    #[thread_local]
    static mut errno: c_int;
}
const EAGAIN: c_int = 6;
const ENOSYS: c_int = 52;
const ENOTSUP: c_int = 58;
const EAI_FAIL: c_int = -4;
fn fail(code: c_int) -> c_int {
    unsafe { errno = code };
    -1
}
type P = *mut c_void;
macro_rules! define { ($($name:ident($($t:ty),*) -> $r:ty = $e:expr;)*) => { $(
    #[unsafe(no_mangle)] #[linkage = "weak"] pub extern "C" fn $name($(_: $t),*) -> $r { $e }
)* } }
define! {
    socket(c_int, c_int, c_int) -> c_int = fail(ENOTSUP);
    bind(c_int, P, u32) -> c_int = fail(ENOTSUP);
    connect(c_int, P, u32) -> c_int = fail(ENOTSUP);
    listen(c_int, c_int) -> c_int = fail(ENOTSUP);
    getsockname(c_int, P, P) -> c_int = fail(ENOTSUP);
    getpeername(c_int, P, P) -> c_int = fail(ENOTSUP);
    setsockopt(c_int, c_int, c_int, P, u32) -> c_int = fail(ENOTSUP);
    sendto(c_int, P, usize, c_int, P, u32) -> isize = fail(ENOTSUP) as isize;
    recvfrom(c_int, P, usize, c_int, P, P) -> isize = fail(ENOTSUP) as isize;
    getaddrinfo(P, P, P, P) -> c_int = EAI_FAIL;
    freeaddrinfo(P) -> () = ();
    gai_strerror(c_int) -> *const c_char = c"name resolution is not available here".as_ptr();
    realpath(P, P) -> P = { fail(ENOSYS); core::ptr::null_mut() };
    chmod(P, u32) -> c_int = fail(ENOSYS);
    fchmod(c_int, u32) -> c_int = fail(ENOSYS);
    pthread_create(P, P, P, P) -> c_int = EAGAIN;
    pthread_join(P, P) -> c_int = ENOSYS;
    pthread_detach(P) -> c_int = ENOSYS;
    pthread_attr_init(P) -> c_int = 0;
    pthread_attr_destroy(P) -> c_int = 0;
    pthread_attr_setstacksize(P, usize) -> c_int = 0;
}
EOF

say "building std for $TARGET with $("$NEW/bin/rustc" -V | cut -d' ' -f1,2)"
mkdir -p "$NEW/src/std/src"
: >"$NEW/src/std/src/lib.rs"
cat >"$NEW/src/std/Cargo.toml" <<'EOF'
[package]
name = "only-std"
version = "0.0.0"
edition = "2021"
[profile.release]
opt-level = 3
codegen-units = 1
debug = false
[workspace]
EOF
(
  cd "$NEW/src/std"
  # Settings of the caller's own build must not leak into std.
  for name in $(compgen -e | grep -E '^(CARGO_(BUILD|PROFILE|TARGET|ENCODED)|RUSTC_|RUSTUP_TOOLCHAIN$|RUSTFLAGS$|RUSTDOCFLAGS$)' || true); do
    unset "$name"
  done
  # With bitcode in the rlibs, guests can be built with link-time optimisation.
  RUSTC_BOOTSTRAP=1 RUSTC="$NEW/bin/rustc" RUSTFLAGS="-Cembed-bitcode=yes" CARGO_TARGET_DIR="$NEW/src/out" \
    cargo build --release --target $TARGET -Zbuild-std=std,panic_abort,test -Zbuild-std-features= >"$NEW/src/log" 2>&1
) || { tail -40 "$NEW/src/log" >&2; die "std did not build (above: the end of cargo's output)"; }
cp "$NEW/src/out/$TARGET/release/deps/"lib*.rlib "$LIB/"
rm -f "$LIB"/libonly_std-*
RUSTC_BOOTSTRAP=1 "$NEW/bin/rustc" --edition 2024 --crate-type lib --emit obj -O -Cpanic=abort --target $TARGET \
  "$NEW/src/missing.rs" -o "$NEW/src/missing.o"
ar q "$LIB/self-contained/libc.a" "$NEW/src/missing.o"

# Proof: every symbol that std refers to is defined somewhere, and a std program becomes a component.
undefined=$("$TOOLS/gcc-ld/wasm-ld" --no-entry --no-gc-sections --error-limit=0 --whole-archive "$LIB"/libstd-*.rlib --no-whole-archive \
  $(ls "$LIB"/*.rlib | grep -v '/libstd-') "$LIB/self-contained/libc.a" -o "$NEW/src/all.wasm" 2>&1 |
  sed -n 's/.*undefined symbol: //p' | grep -v '^__rustc::' | sort -u | tr '\n' ' ' || true)
[ -z "$undefined" ] || say "warning: std refers to what this wasi-libc lacks; a guest that uses it will not link: $undefined"
cat >"$NEW/src/hello.rs" <<'EOF'
use std::{collections::HashMap, env, time::SystemTime};
fn main() {
    let vars: HashMap<_, _> = env::vars().collect();
    println!("{vars:?} {:?}", SystemTime::now());
}
EOF
"$NEW/bin/rustc" --edition 2021 -O -Clto=fat --target $TARGET "$NEW/src/hello.rs" -o "$NEW/src/hello.wasm" >&2 ||
  die "the new toolchain cannot build a program"
[ "$(head -c 8 "$NEW/src/hello.wasm" | od -An -tx1 | tr -d ' \n')" = 0061736d0d000100 ] ||
  die "the new toolchain builds something that is not a component"

rm -rf "$NEW/src" "$NEW/root" "$NEW/lib/rustlib/src" "$NEW/apt.log"
echo "recipe=$RECIPE $(for package in "${PACKAGES[@]}"; do echo "$package=$(candidate "$package")"; done | tr '\n' ' ')" >"$NEW/stamp"
rm -rf "$DIR"
mv "$NEW" "$DIR"
trap - EXIT
say "made in $(($(date +%s) - started)) s, $(du -sm "$DIR" | cut -f1) MB"
finish_private
