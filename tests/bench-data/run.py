"""Measures moving data; see run.sh. Rounds are interleaved; the median of each kind counts."""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
WORK = ROOT / "target" / "bench-data"
RELEASE = ROOT / "target" / "release"
ROUNDS = int(os.environ.get("WEIR_BENCH_ROUNDS", "5"))
RECORDS = int(os.environ.get("WEIR_BENCH_RECORDS", "1000000"))
SKIP_TEN = os.environ.get("WEIR_BENCH_TEN") == "0"
RIGHT = {1_000_000: "rows=479272 cents=239514654005 xor=590245 users=11972316208 bad=0"}
GOALS = {
    "native_vs_typed": ("native stages over hand-written typed Rust, records a second", ">=", 0.7),
    "plugin_vs_native": ("the plugin over native stages", ">=", 0.5),
    "plugin_records_per_core_s": ("records a second and core, the plugin", ">=", 400_000),
    "peak_mib": ("most memory of a run, MiB", "<=", 128),
    "ten_times": ("time for ten times the records, over the time for one", "<=", 10.5),
}

NATIVE = """
id: bench-native
source: {{ type: file, path: {input}, format: ndjson }}
transforms:
  - type: filter
    where: status < 400 && event != "debug"
  - type: map
    fields:
      id: id
      ts: ts
      event: {{ path: event, apply: [upper] }}
      status: status
      amount_cents: {{ path: amount, apply: [{{ multiply: 100 }}, round] }}
      user_id: user.id
      tags: tags
sinks:
  - {{ type: file, path: {output}, format: ndjson }}
"""

PLUGIN = """
id: bench-plugin
source: {{ type: file, path: {input}, format: ndjson }}
transforms:
  - {{ type: plugin, plugin: clean-events }}
sinks:
  - {{ type: file, path: {output}, format: ndjson }}
"""


def weir(name, spec):
    """How `weir run` is called with this spec; the spec is written where it needs to be."""

    def command(source, output):
        path = WORK / f"{name}.yaml"
        path.write_text(spec.format(input=source, output=output))
        words = [RELEASE / "weir", "run", path, "--json"]
        if name == "plugin":
            words += ["--plugin", ROOT / "guest-examples" / "dist" / "examples" / "clean-events.wasm"]
        return words

    return command


def peers():
    """The peers found on this machine, and how each is called."""
    python = os.environ.get("WEIR_BENCH_PYTHON", str(WORK / "venv" / "bin" / "python"))
    if not Path(python).exists():
        python = sys.executable
    found = {}
    scripts = {"duckdb": "duckdb_job.py", "polars": "polars_job.py", "dlt": "dlt_job.py"}
    for name in ("duckdb", "polars", "bytewax", "dlt"):
        modules = [name, "orjson"] if name in ("bytewax", "dlt") else [name]
        probe = subprocess.run([python, "-c", "import " + ", ".join(modules)], capture_output=True, check=False)
        if probe.returncode != 0:
            print(f"bench-data: {name} is not installed here, so it is left out")
        elif name == "bytewax":
            found[name] = lambda source, output: ["env", f"IN={source}", f"OUT={output}", "BS=1000", f"PYTHONPATH={HERE / 'peers'}", python, "-m", "bytewax.run", "bytewax_flow:flow"]
        else:
            script = HERE / "peers" / scripts[name]
            found[name] = lambda source, output, script=script: [python, script, source, output]
    if shutil.which("jaq"):
        found["jaq"] = lambda source, output: ["sh", "-c", f"exec jaq -c -f {HERE / 'peers' / 'filter.jq'} {source} > {output}"]
    else:
        print("bench-data: jaq is not installed here, so it is left out")
    if shutil.which("faucet"):
        found["faucet"] = faucet
    else:
        print("bench-data: faucet is not installed here, so it is left out")
    return found


def faucet(source, output):
    """It reads no NDJSON files: the same records as CSV, and fewer steps. Not quite the same job, in its favour."""
    table = WORK / "in.csv"
    if not table.exists():
        import csv

        with open(source, encoding="utf8") as lines, open(table, "w", newline="", encoding="utf8") as out:
            writer = csv.writer(out)
            writer.writerow(["id", "ts", "event", "status", "amount", "user_id", "msg"])
            for line in lines:
                r = json.loads(line)
                writer.writerow([r["id"], r["ts"], r["event"], r["status"], r["amount"], r["user"]["id"], r["msg"]])
    spec = WORK / "faucet.yaml"
    spec.write_text((HERE / "peers" / "faucet.yaml").read_text().replace("@IN@", str(table)).replace("@OUT@", str(output)))
    return ["faucet", "run", spec]


def clear(output):
    for path in (output, Path(f"{output}_p")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def measure(command, source, name):
    """Wall and CPU seconds and peak MiB of one run, its output checked."""
    output = WORK / f"out-{name}"
    clear(output)
    arguments = [str(part) for part in command(source, output)]
    log = open(WORK / f"{name}.log", "w", encoding="utf8")
    start = time.monotonic()
    process = subprocess.Popen(arguments, stdout=log, stderr=subprocess.STDOUT, cwd=WORK)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    log.close()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        tail = (WORK / f"{name}.log").read_text(errors="replace")[-2000:]
        raise RuntimeError(f"{name} ended with {process.returncode}: {tail}")
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "mib": usage.ru_maxrss / 1024, "check": rows(output) if name == "faucet" else check(output)}


def check(output):
    files = [output]
    if output.is_dir():
        files = [path for path in output.rglob("*.jsonl") if "_dlt" not in str(path.relative_to(output).parent) and path.parent.name == "ev"]
    done = subprocess.run([sys.executable, HERE / "check.py", *files], capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip()[-200:]


def rows(output):
    """Of faucet, which has other fields."""
    with open(output, "rb") as lines:
        return f"rows={sum(1 for _ in lines)}"


def generate(records):
    path = WORK / f"in-{records}.ndjson"
    if not path.exists():
        subprocess.run([sys.executable, HERE / "gen.py", path, str(records)], check=True)
    return path


def warm(path):
    with open(path, "rb") as file:
        while file.read(1 << 20):
            pass
    return path


def main():
    WORK.mkdir(parents=True, exist_ok=True)
    source = generate(RECORDS)
    kinds = {"typed": lambda i, o: [RELEASE / "typed", i, o], "native": weir("native", NATIVE), "plugin": weir("plugin", PLUGIN), **peers()}
    runs = {name: [] for name in kinds}
    failed = {}
    for round_ in range(ROUNDS):
        for name, command in kinds.items():
            if name in failed:
                continue
            try:
                run = measure(command, source, name)
            except RuntimeError as error:
                failed[name] = str(error)
                print(f"bench-data: {error}")
                continue
            runs[name].append(run)
            print(f"bench-data: round {round_ + 1}: {name}: {run['wall']:.2f} s, CPU {run['cpu']:.2f} s, {run['mib']:.0f} MiB, {run['check']}", flush=True)
    wrong = judge(runs)
    result = figures(runs)
    if not SKIP_TEN and runs["native"] and "native" not in failed:
        # The small input was read before, and is in memory by now; so is this one then, where it has room.
        ten = measure(kinds["native"], warm(generate(10 * RECORDS)), "native")
        one = statistics.median(run["wall"] for run in runs["native"])
        result["ten_times"] = round(ten["wall"] / one, 2)
        result["peak_mib"] = max(result["peak_mib"], round(ten["mib"], 1))
    report(result, runs, failed, wrong)


def judge(runs):
    """Whose output is not that of the typed baseline. faucet has other fields, so its rows are counted only."""
    right = RIGHT.get(RECORDS) or (runs["typed"][0]["check"] if runs["typed"] else "")
    wrong = []
    for name, found in runs.items():
        for run in found:
            wanted = right.split()[0] if name == "faucet" else right
            if run["check"] != wanted:
                wrong.append(f"{name}: {run['check']}, and it should be {wanted}")
                break
    return wrong


def figures(runs):
    rate = {name: RECORDS / statistics.median(run["wall"] for run in found) for name, found in runs.items() if found}
    result = {}
    ratio = lambda a, b: round(rate[a] / rate[b], 3) if a in rate and b in rate else None
    result["native_vs_typed"] = ratio("native", "typed")
    result["plugin_vs_native"] = ratio("plugin", "native")
    if runs["plugin"]:
        result["plugin_records_per_core_s"] = round(RECORDS / statistics.median(run["cpu"] for run in runs["plugin"]))
    result["peak_mib"] = max((round(run["mib"], 1) for name in ("native", "plugin") for run in runs[name]), default=None)
    for name in rate:
        if name not in ("typed", "native", "plugin"):
            result[f"native_vs_{name}"] = ratio("native", name)
    return result


def report(result, runs, failed, wrong):
    median = lambda name, key: round(statistics.median(run[key] for run in runs[name]), 3)
    measured = {name: {key: median(name, key) for key in ("wall", "cpu", "mib")} for name in runs if runs[name]}
    machine = {"cores": os.cpu_count(), "machine": platform.machine(), "load": os.getloadavg()[0], "rounds": ROUNDS, "records": RECORDS}
    (ROOT / "target" / "bench-data.json").write_text(json.dumps({**result, "measured": measured, "failed": failed, "wrong": wrong, **machine}, indent=2) + "\n")
    missed = []
    for key, value in result.items():
        what, sign, goal = GOALS.get(key, ("native stages over this peer", ">=", 1.0))
        met = value is not None and (value >= goal if sign == ">=" else value <= goal)
        print(f"{'ok  ' if met else 'MISS'} {key} = {value} (goal {sign} {goal}): {what}")
        # DuckDB is who to reach, not who to beat.
        if not met and key != "native_vs_duckdb":
            missed.append(key)
    for text in wrong:
        print(f"MISS {text}")
    if wrong or missed or any(name in failed for name in ("typed", "native", "plugin")):
        sys.exit(1)


if __name__ == "__main__":
    main()
