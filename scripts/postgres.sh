#!/usr/bin/env bash
# A PostgreSQL server for tests, in the foreground, on 127.0.0.1:PORT and a socket in DIR. It ends with INT, and when who started it ends.
# usage: scripts/postgres.sh DIR PORT [SETTING=VALUE ...]
#
# DIR is given to the server's user and gets a database cluster in DIR/data, if there is none. User postgres, password weir.
set -euo pipefail

die() { echo "postgres.sh: $*" >&2; exit 69; }
[ $# -ge 2 ] || die "usage: scripts/postgres.sh DIR PORT [SETTING=VALUE ...]"
dir=$1 port=$2
shift 2

# Debian keeps the server's programs off the PATH, one folder a version: the newest.
bin=$(find /usr/lib/postgresql -path '*/bin/postgres' 2>/dev/null | sort -V | tail -1)
[ -n "$bin" ] || bin=$(command -v postgres) || die "there is no PostgreSQL server on this machine; ./setup.sh installs it"
bin=$(dirname "$bin")

# The server refuses to run as root.
as=(setpriv --pdeathsig INT)
if [ "$(id -u)" = 0 ]; then
  id postgres >/dev/null 2>&1 || die "there is no user postgres to run the server as"
  as+=(--reuid postgres --regid postgres --clear-groups)
fi
[ -e "$dir/data/PG_VERSION" ] || echo weir >"$dir/password"
[ "$(id -u)" != 0 ] || chown -R postgres: "$dir"

if [ ! -e "$dir/data/PG_VERSION" ]; then
  "${as[@]}" "$bin/initdb" -D "$dir/data" -U postgres -A scram-sha-256 --pwfile="$dir/password" --no-sync -E UTF8 --locale=C >/dev/null
fi
settings=()
for setting; do settings+=(-c "$setting"); done
# fsync guards against a crash of the machine, which no test makes.
exec "${as[@]}" "$bin/postgres" -D "$dir/data" -p "$port" -h 127.0.0.1 -k "$dir" -c fsync=off "${settings[@]}"
