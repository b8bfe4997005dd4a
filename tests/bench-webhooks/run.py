"""Measures webhooks; see run.sh. Rounds are interleaved; the median of each kind counts."""

import hashlib
import hmac
import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "bench-webhooks"
RELEASE = ROOT / "target" / "release"
ROUNDS = int(os.environ.get("WEIR_BENCH_ROUNDS", "5"))
SECONDS = int(os.environ.get("WEIR_BENCH_SECONDS", "5"))
CONNECTIONS = int(os.environ.get("WEIR_BENCH_CONNECTIONS", "64"))
OUT = Path(os.environ.get("WEIR_BENCH_OUT", WORK / "report.json"))
KEY = "bench"
SECRET = b"topsecret"
BODY = json.dumps({"id": 12345, "event": "order.created", "at": "2026-11-22T15:30:00Z", "customer": {"id": 77, "name": "Ada Lovelace"}, "lines": [{"sku": f"sku-{n}", "count": n, "price": 9.99} for n in range(4)]}).encode()
GOALS = {
    "over_baseline": ("Weir over the baseline, requests a second", ">=", 0.6),
    "p99_ms": ("99 % of Weir's answers within, ms", "<=", 10.0),
}
SPEC = """
id: bench
trigger:
  webhook:
    secret: "${env:BENCH_SECRET}"
    rate: {requests: 4000000000, per: 1s}
sink: {type: file, path: "out-{{run.id}}.ndjson"}
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until_open(port, process):
    for _ in range(600):
        if process.poll() is not None:
            sys.exit(f"bench-webhooks: a server ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.05)
    sys.exit("bench-webhooks: a server does not come up")


def get(port, path):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def load(port, script):
    """What wrk counted: requests a second, 99 % of answers within (ms), answers that were not 2xx, answers."""
    words = ["wrk", "-t2", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-s", script, f"http://127.0.0.1:{port}/webhooks/bench"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    unit = {"us": 0.001, "ms": 1.0, "s": 1000.0}
    number, of = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    lost = re.search(r"Socket errors: (.*)", text)
    if lost:
        print(f"bench-webhooks: {lost.group(0)}")
    return {
        "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)),
        "p99_ms": float(number) * unit[of],
        "bad": int(bad.group(1)) if bad else 0,
        "answers": int(re.search(r"(\d+) requests in", text).group(1)),
    }


def baseline(script):
    file = WORK / "baseline.db"
    for path in WORK.glob("baseline.db*"):
        path.unlink()
    port = free_port()
    process = subprocess.Popen([RELEASE / "examples" / "webhook-baseline", str(port), file])
    try:
        until_open(port, process)
        return load(port, script)
    finally:
        process.kill()
        process.wait()


def weir(script):
    home = WORK / "weir"
    shutil.rmtree(home, ignore_errors=True)
    for folder in ("specs", "out", "plugins"):
        (home / folder).mkdir(parents=True)
    (home / "specs" / "bench.pipeline.yaml").write_text(SPEC)
    (home / "weir.toml").write_text(f'[pipelines]\nfolders = ["{home}/specs"]\nfiles = ["{home}/out"]\nreferences = {{ env = ["BENCH_SECRET"] }}\n')
    port = free_port()
    words = [RELEASE / "weir", "serve", "--config", home / "weir.toml", "--plugins", home / "plugins", "--data", home / "data", "--listen", f"127.0.0.1:{port}"]
    environment = dict(os.environ, PIPELINES_API_KEY=KEY, BENCH_SECRET=SECRET.decode())
    log = open(home / "log", "w", encoding="utf8")
    process = subprocess.Popen(words, env=environment, stdout=log, stderr=log)
    try:
        until_open(port, process)
        while not get(port, "/api/v1/pipelines")["pipelines"]:
            time.sleep(0.05)
        counted = load(port, script)
        segments = get(port, "/api/v1/pipelines/bench/raw")["segments"]
        counted["kept"] = sum(s["records"] for s in segments)
        good = counted["answers"] - counted["bad"]
        if counted["kept"] < good:
            sys.exit(f"bench-webhooks: {good} were answered, {counted['kept']} are kept")
        began = time.monotonic()
        delivered = 0
        while delivered < counted["kept"] and time.monotonic() < began + 120:
            time.sleep(0.5)
            delivered = sum(line.count(b"\n") for path in (home / "out").glob("out-*.ndjson") for line in [path.read_bytes()])
        counted["delivered"] = delivered
        counted["behind_s"] = round(time.monotonic() - began, 1)
        return counted
    finally:
        process.terminate()
        process.wait()
        log.close()


def main():
    if not shutil.which("wrk"):
        sys.exit("bench-webhooks: wrk is needed")
    WORK.mkdir(parents=True, exist_ok=True)
    signature = hmac.new(SECRET, BODY, hashlib.sha256).hexdigest()
    script = WORK / "send.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.body = [==[{BODY.decode()}]==]\nwrk.headers["Content-Type"] = "application/json"\nwrk.headers["X-Webhook-Signature"] = "{signature}"\n'
    )
    rounds = {"baseline": [], "weir": []}
    for n in range(ROUNDS):
        for name, measure in (("baseline", baseline), ("weir", weir)):
            counted = measure(script)
            rounds[name].append(counted)
            print(f"round {n + 1} {name}: " + ", ".join(f"{k} {v:,}" for k, v in counted.items()), flush=True)
    middle = lambda name, key: statistics.median(r[key] for r in rounds[name])
    over = [w["rps"] / b["rps"] for w, b in zip(rounds["weir"], rounds["baseline"])]
    report = {
        "machine": {"cores": os.cpu_count(), "system": platform.platform()},
        "body_bytes": len(BODY),
        "connections": CONNECTIONS,
        "rounds": rounds,
        "weir_rps": middle("weir", "rps"),
        "baseline_rps": middle("baseline", "rps"),
        "over_baseline": round(statistics.median(over), 3),
        "p99_ms": middle("weir", "p99_ms"),
        "baseline_p99_ms": middle("baseline", "p99_ms"),
        "answered_badly": sum(r["bad"] for r in rounds["weir"]),
    }
    OUT.write_text(json.dumps(report, indent=1) + "\n")
    fits = {">=": lambda a, b: a >= b, "<=": lambda a, b: a <= b}
    failed = report["answered_badly"] > 0
    for key, (what, how, goal) in GOALS.items():
        good = fits[how](report[key], goal)
        failed |= not good
        print(f"{'good' if good else 'MISSED'}: {what}: {report[key]} (goal {how} {goal})")
    sys.exit(1 if failed else 0)


main()
