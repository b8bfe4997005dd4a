"""Measures what a server is when nothing happens, and what a month of runs costs it; see docs/benchmarks.md. Takes about three minutes.

Needs target/release/weir and the built guests. Writes target/bench-runs.json and prints a table."""

import importlib.util
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "guest-examples" / "actors"))
spec = importlib.util.spec_from_file_location("bench", ROOT / "tests" / "bench" / "run.py")
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)
from stamp import stamp  # noqa: E402

MANY = 20
RUNS = 1_000_000
PIPELINES = 20
MONTH_MS = 30 * 86_400_000
LISTS = 200
WRITES_S = 15

GOALS = {
    "idle_mib": ("resident memory with 20 plugins and 20 pipelines, MiB", 100),
    "ready_ms": ("from its start to ready with them, compiled before, ms", 1000),
    "ready_month_ms": ("the same with 1,000,000 runs in its store, ms", None),
    "list_ms": ("50 of 1,000,000 runs, the slowest of all ways to ask, ms", 100),
    "prune_stall": ("the slowest 1 % of submissions while runs are pruned, over the same without", None),
}


def home_of(folder, name):
    """A folder with 20 plugins, 20 pipelines and what they read."""
    home = folder / name
    (home / "specs").mkdir(parents=True)
    plugins = home / "plugins"
    plugins.mkdir()
    template = (bench.DIST / "templates" / "bus.wasm").read_bytes()
    for number in range(MANY):
        plugin = f"plugin-{number:02}"
        (plugins / f"{plugin}.wasm").write_bytes(stamp(template, {"id": plugin, "version": "1.0.0"}))
        (plugins / f"{plugin}.toml").write_text("[grants]\nevents = true\n")
        text = f"id: p{number}\nsource: {{type: file, path: in.ndjson}}\nsink: {{type: file, path: p{number}.ndjson}}\n"
        (home / "specs" / f"p{number}.pipeline.yaml").write_text(text)
    (home / "in.ndjson").write_text('{"n":1}\n')
    return home


def config(home, keep_days=30):
    specs, files = json.dumps(str(home / "specs")), json.dumps(str(home))
    return f"[pipelines]\nfolders = [{specs}]\nfiles = [{files}]\nkeep_days = {keep_days}\n"


def started(home, **more):
    """A server, and how long it took until it was ready; in ms."""
    begin = time.perf_counter()
    server = bench.weir(home, [], config(home, **more))
    return server, (time.perf_counter() - begin) * 1000


def resident_mib(server):
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def idle(folder, results):
    home = home_of(folder, "idle")
    times = []
    for _ in range(6):
        server, took = started(home)
        with server:
            times.append(took)
            listed = json.loads(bench.call(server, "GET", "/api/v1/pipelines")[1])["pipelines"]
            assert len(listed) == MANY, listed
            results["idle_mib"] = resident_mib(server)
    results["ready_ms"] = statistics.median(times[1:])


def run_id(at_ms, number):
    """As the server makes them: a UUID of version 7."""
    return f"run_{(at_ms << 80) | (7 << 76) | (2 << 62) | number:032x}"


def fill(home, now_ms):
    """A month of runs, as the server writes them: one is carried out, and the others are like it."""
    server, _ = started(home)
    with server:
        status, body = bench.call(server, "POST", "/api/v1/pipelines/p0/runs", {"wait": True})
        assert status == 200, body
        server.process.terminate()
        server.process.wait()
    base = sqlite3.connect(home / "data" / "store.sqlite")
    record = json.loads(base.execute("SELECT record FROM runs").fetchone()[0])
    step = MONTH_MS / RUNS

    def rows():
        for number in range(RUNS):
            at = int(now_ms - MONTH_MS + number * step)
            run = run_id(at, number)
            pipeline, state = f"p{number % PIPELINES}", "failed" if number % 50 == 0 else "succeeded"
            yield run, pipeline, state, at, json.dumps({**record, "id": run, "pipeline": pipeline, "state": state})

    base.executescript("PRAGMA synchronous = OFF; PRAGMA journal_mode = WAL;")
    with base:
        base.executemany(
            "INSERT INTO runs (id, pipeline, version, started_by, state, submitted, started, ended, record) VALUES (?1, ?2, 1, 'schedule', ?3, ?4, ?4, ?4 + 500, ?5)",
            rows(),
        )
        base.execute(
            "INSERT INTO jobs (run, queue, priority, due, attempt, max_attempts, args, state, fence, cancel_wanted, ended)"
            " SELECT id, 'runs', 0, submitted, 1, 3, '{}', 'completed', 1, 0, ended FROM runs WHERE id NOT IN (SELECT run FROM jobs)"
        )
        base.execute(
            "INSERT INTO attempts (run, fence, number, owner, began, ended, outcome)"
            " SELECT id, 1, 1, 'bench', submitted, ended, 'completed' FROM runs WHERE id NOT IN (SELECT run FROM attempts)"
        )
    base.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    base.close()


def lists(server):
    """The time of each way to ask for a page of runs, the median of some; the slowest of them, in ms."""
    connection = bench.Keep(server.base)
    first = json.loads(connection.call("GET", "/api/v1/runs?limit=50")[1])
    assert len(first["runs"]) == 50
    middle = run_id(int(time.time() * 1000) - MONTH_MS // 2, 0)
    asked = ["", "&pipeline=p7", "&state=failed", "&pipeline=p7&state=failed", "&state=running", f"&cursor={first['next']}", f"&pipeline=p0&cursor={middle}"]
    slowest = 0
    for more in asked:
        times = []
        for _ in range(LISTS):
            begin = time.perf_counter()
            status, body = connection.call("GET", "/api/v1/runs?limit=50" + more)
            times.append((time.perf_counter() - begin) * 1000)
            assert status == 200, body
        slowest = max(slowest, statistics.median(times))
    return slowest


def writes(server, while_true):
    """Submits runs one after another; how long each took, in ms."""
    connection = bench.Keep(server.base)
    times = []
    begin = time.monotonic()
    while time.monotonic() - begin < WRITES_S and while_true():
        start = time.perf_counter()
        status, body = connection.call("POST", "/api/v1/pipelines/p1/runs", {})
        assert status in (202, 503), body
        if status == 202:
            times.append((time.perf_counter() - start) * 1000)
    return times


def slow(times):
    """The 99th of a hundred."""
    return sorted(times)[int(len(times) * 0.99)]


def month(folder, results):
    home = home_of(folder, "month")
    fill(home, int(time.time() * 1000))
    server, _ = started(home)
    with server:
        pass
    server, results["ready_month_ms"] = started(home)
    with server:
        results["list_ms"] = lists(server)
        without = writes(server, lambda: True)
    # Half of them are too old now.
    server, _ = started(home, keep_days=15)
    with server:
        beside = writes(server, lambda: True)
        results["prune_stall"] = slow(beside) / slow(without)
        results["submit_ms"] = {"without": slow(without), "while pruning": slow(beside), "slowest while pruning": max(beside)}
    base = sqlite3.connect(home / "data" / "store.sqlite")
    results["pruned"] = RUNS - base.execute("SELECT count(*) FROM runs WHERE started_by = 'schedule'").fetchone()[0]
    base.close()
    assert results["pruned"] > 1_000, results


def main():
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        idle(Path(folder), results)
        month(Path(folder), results)
    results["machine"] = bench.machine()
    (ROOT / "target" / "bench-runs.json").write_text(json.dumps(results, indent=2) + "\n")
    print("| what | measured | goal | |\n|---|---|---|---|")
    for key, (what, goal) in GOALS.items():
        met = "" if goal is None else "met" if results[key] <= goal else "**missed**"
        print(f"| {what} (`{key}`) | {results[key]:.2f} | {'' if goal is None else f'<= {goal}'} | {met} |")
    print(json.dumps({key: results[key] for key in ("submit_ms", "pruned")}))


if __name__ == "__main__":
    main()
