"""Measures Weir against a bare hyper server; see run.sh. Rounds are interleaved, and the median of each kind counts."""

import http.server
import json
import os
import platform
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "target"
DIST = ROOT / "guest-examples" / "dist"
KEY = "bench-key"
ROUNDS = 5
SECONDS = 3
CONNECTIONS = 32
SAMPLES = 300
INSTANCES = 200
PLUGINS = 200
PATIENCE = 60

CHAT = {"model": "ok", "stream": False, "messages": [{"role": "user", "content": "hello"}]}
FRESH = {**CHAT, "model": "upped"}
INLET = {
    "user": {"id": "u1", "email": "ann@example.com", "name": "Ann", "role": "user"},
    "body": {"model": "llama3", "messages": [{"role": "user", "content": "hello"}], "stream": True},
}
GOALS = {
    "chat_vs_hello": ("a chat, not streamed, warm instance, over bare hyper", ">=", 0.5),
    "chat_vs_python": ("the same over the Python reference", ">=", 20),
    "fresh_vs_hello": ("a chat with a fresh instance each call, over bare hyper", ">=", 0.2),
    "inlet_vs_hello": ("a filter's inlet, warm instance, over bare hyper", ">=", 0.5),
    "first_byte_ms": ("first byte of a streamed chat, ms", "<=", 2),
    "cached_load_ms": ("load of a plugin from the cache, ms", "<=", 2),
    "idle_instance_kib": ("memory of an idle instance, KiB", "<=", 64),
    "hooks10_us": ("ten hooks around a chat, warm instances, µs more, least of 5 rounds", "<=", 100),
    "boot200_ms": ("start with 200 plugins in the cache, ms", "<=", 1000),
    "hook_none_ns": ("a step at a point without hooks, ns more", "<=", 10),
}


class Process:
    """A server that prints its URL; killed on leaving."""

    def __init__(self, args, env=None):
        self.process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env={**os.environ, **(env or {})})
        for line in self.process.stdout:
            found = re.search(r"http://127\.0\.0\.1:\d+", line)
            if found:
                self.base = found.group()
                break
        else:
            raise SystemExit(f"bench: {args[0]} ended without a URL")
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def anonymous_kib(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"RssAnon:\s+(\d+)", status).group(1))


def weir(home, files, config=""):
    """A Weir with these files, each a path or a name with its text."""
    plugins = home / "plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    for file in files:
        if isinstance(file, Path):
            shutil.copy(file, plugins)
        else:
            (plugins / file[0]).write_text(file[1])
    (home / "weir.toml").write_text(config)
    binary = os.environ.get("WEIR_BIN", TARGET / "release" / "weir")
    args = [binary, "serve", "--listen", "127.0.0.1:0", "--plugins", plugins, "--data", home / "data", "--config", home / "weir.toml"]
    server = Process([str(a) for a in args], {"PIPELINES_API_KEY": KEY})
    end = time.monotonic() + 10 * PATIENCE
    while call(server, "GET", "/readyz")[0] != 200:
        assert time.monotonic() < end, "weir is not ready"
        time.sleep(0.01)
    return server


class Keep:
    """A connection that is kept, with as little of a client's own time as Python allows."""

    def __init__(self, base):
        host, port = base.removeprefix("http://").split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, method, path, body=None):
        raw = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
        self.socket.sendall(head.encode() + raw)

    def read(self, end):
        """Reads until `end(bytes)`; returns what came and when the first byte of the body was there."""
        data, first = b"", None
        while not end(data):
            piece = self.socket.recv(65536)
            assert piece, f"the connection was closed: {data[:300]!r}"
            data += piece
            if first is None and data.partition(b"\r\n\r\n")[2]:
                first = time.perf_counter()
        return data, first

    def call(self, method, path, body=None):
        self.send(method, path, body)
        data, _ = self.read(whole)
        return int(data.split(b" ", 2)[1]), data.partition(b"\r\n\r\n")[2]


def whole(data):
    head, found, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return bool(found) and length is not None and len(body) >= int(length.group(1))


def call(server, method, path, body=None):
    return Keep(server.base).call(method, path, body)


def check(server, path, body, wanted):
    status, answer = call(server, "POST", path, body)
    assert status == 200 and wanted in answer, f"{path}: {status} {answer!r}"


def wrk(base, path, body, home):
    """Requests a second."""
    script = home / f"request-{abs(hash((path, json.dumps(body))))}.lua"
    lines = ['wrk.method = "POST"', f"wrk.body = {json.dumps(json.dumps(body))}"]
    lines += ['wrk.headers["Content-Type"] = "application/json"', f'wrk.headers["Authorization"] = "Bearer {KEY}"']
    script.write_text("\n".join(lines))
    args = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-s", str(script), base + path]
    out = subprocess.run(args, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in out and "Socket errors" not in out, out
    return float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))


def throughput(home, results):
    reference = os.environ.get("WEIR_PYTHON_REFERENCE")
    hello = os.environ.get("WEIR_HELLO", str(TARGET / "release" / "hello"))
    corpus = DIST / "corpus"
    files = [corpus / "ok.wasm", corpus / "filter_basic.wasm", corpus / "gen_words.wasm", corpus / "upload" / "upped.wasm", ("upped.toml", 'reuse = "call"\n')]
    with Process([hello]) as bare, weir(home / "throughput", files) as server:
        check(server, "/v1/chat/completions", CHAT, b'"content":"ok"')
        check(server, "/v1/chat/completions", FRESH, b'"content":"uploaded"')
        check(server, "/filter_basic/filter/inlet", INLET, b"[f]hello")
        kinds = {
            "hello": (bare.base, "/", CHAT),
            "chat": (server.base, "/v1/chat/completions", CHAT),
            "fresh": (server.base, "/v1/chat/completions", FRESH),
            "inlet": (server.base, "/filter_basic/filter/inlet", INLET),
        }
        if reference:
            kinds["python"] = (reference, "/v1/chat/completions", CHAT)
        rounds = {kind: [] for kind in kinds}
        for number in range(ROUNDS):
            for kind, (base, path, body) in kinds.items():
                rounds[kind].append(wrk(base, path, body, home))
            print(f"bench: round {number + 1} of {ROUNDS}: " + ", ".join(f"{k} {v[-1]:.0f}/s" for k, v in rounds.items()), flush=True)
        rates = {kind: statistics.median(found) for kind, found in rounds.items()}
        results["first_byte_ms"] = first_byte(server)
        results["cached_load_ms"] = cached_load(server)
    for kind in ("chat", "fresh", "inlet"):
        results[f"{kind}_vs_hello"] = rates[kind] / rates["hello"]
    if reference:
        results["chat_vs_python"] = rates["chat"] / rates["python"]
    results["requests_per_s"] = {kind: round(rate) for kind, rate in rates.items()}


def first_byte(server):
    """Median time from sending a streamed request to the first byte of its answer's body, on a kept connection."""
    connection = Keep(server.base)
    body = {"model": "gen_words", "stream": True, "messages": CHAT["messages"]}
    times = []
    for _ in range(SAMPLES):
        started = time.perf_counter()
        connection.send("POST", "/v1/chat/completions", body)
        data, first = connection.read(lambda d: d.endswith(b"0\r\n\r\n"))
        assert b"[DONE]" in data, data
        times.append((first - started) * 1000)
    return statistics.median(times)


def cached_load(server):
    """Median time of a reload over the API: reading the file, compiled code from the cache, describe, init, start, swap."""
    connection = Keep(server.base)
    times = []
    for _ in range(SAMPLES):
        started = time.perf_counter()
        status, answer = connection.call("POST", "/api/v1/plugins/ok/reload")
        times.append((time.perf_counter() - started) * 1000)
        assert status == 200, answer
    return statistics.median(times)


def idle_instance(home):
    """Memory of an idle instance: many calls of a pipe wait for an upstream at once, then all end well. What the process grew by
    when all instances are kept, less what it grew by when one is. Allocated on demand, so that what an instance held is given
    back when it goes: the pool would keep the pages for the next one."""
    kept, kept_count = grown_by_calls(home / "kept", INSTANCES)
    dropped, dropped_count = grown_by_calls(home / "dropped", 1)
    assert kept_count >= INSTANCES * 0.9 and dropped_count <= 1, (kept_count, dropped_count)
    return max(kept - dropped, 0) / (kept_count - dropped_count)


def grown_by_calls(home, idle):
    """KiB that the process grew by, and how many instances it kept."""
    gate = threading.Event()
    waiting = threading.Semaphore(0)

    class Upstream(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("content-length") or 0))
            waiting.release()
            gate.wait(PATIENCE)
            answer = b'{"choices":[]}'
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 2 * INSTANCES
        daemon_threads = True

    upstream = Server(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    origin = f"http://127.0.0.1:{upstream.server_port}"
    settings = f"""
reuse = "pool"
valves = {{ base_url = "{origin}/v1" }}
[limits]
concurrency = {INSTANCES}
idle_instances = {idle}
http_concurrency = {INSTANCES}
[grants.http]
allow = ["{origin}"]
private = ["127.0.0.1"]
"""
    files = [DIST / "examples" / "openai-proxy.wasm", ("openai-proxy.toml", settings)]
    body = {"model": "openai-proxy", "stream": False, "messages": CHAT["messages"]}
    with weir(home, files, '[runtime]\nallocation = "on-demand"\n') as server:
        before = server.anonymous_kib()
        connections = [Keep(server.base) for _ in range(INSTANCES)]
        for connection in connections:
            connection.send("POST", "/v1/chat/completions", body)
        for _ in connections:
            # A bounded wait: a call that never reaches the upstream must not hold the benchmark.
            assert waiting.acquire(timeout=PATIENCE), "not all calls reached the upstream"
        gate.set()
        for connection in connections:
            data, _ = connection.read(whole)
            assert b" 200 " in data[:20], data[:300]
        for connection in connections:
            connection.socket.close()
        status = json.loads(call(server, "GET", "/api/v1/plugins/openai-proxy")[1])
        grown = server.anonymous_kib() - before
    upstream.shutdown()
    return grown, status["usage"]["idle_instances"]


def hooks(home):
    """What ten hooks that pass on what they get, half of them before and half after, add to a chat: the median of chats, one after another, of a
    server with them, less that of one without, in turns; in µs. Of each the least of some rounds counts: whoever else uses the machine only adds to it."""
    ok = DIST / "corpus" / "ok.wasm"
    tens = sorted((DIST / "system").glob("tens-*"))
    assert len(tens) == 20, "ten hooks and their settings are needed: run `just guests`"
    with weir(home / "plain", [ok]) as plain, weir(home / "hooked", [ok, *tens]) as hooked:
        points = json.loads(call(hooked, "GET", "/api/v1/hooks")[1])["points"]
        assert [len(p["hooks"]) for p in points if p["point"] == "chat_request"] == [10], points
        connections = {"plain": Keep(plain.base), "hooked": Keep(hooked.base)}
        rounds = [chats(connections) for _ in range(ROUNDS + 1)]
    least = {kind: min(taken[kind] for taken in rounds[1:]) for kind in connections}
    return least["hooked"] - least["plain"]


def chats(connections):
    """The median time of a chat on each connection, in turns; in µs."""
    times = {kind: [] for kind in connections}
    for _ in range(3 * SAMPLES):
        for kind, connection in connections.items():
            started = time.perf_counter()
            status, answer = connection.call("POST", "/v1/chat/completions", CHAT)
            took = time.perf_counter() - started
            assert status == 200 and b'"content":"ok"' in answer, answer
            times[kind].append(took * 1e6)
    return {kind: statistics.median(took) for kind, took in times.items()}


def boot(home):
    """Time from starting the program to its being ready with 200 plugins of 220 KiB, all different and all compiled before; the median of some starts."""
    sys.path.insert(0, str(ROOT / "guest-examples" / "actors"))
    from stamp import stamp

    template = (DIST / "templates" / "bus.wasm").read_bytes()
    plugins = home / "boot" / "plugins"
    plugins.mkdir(parents=True)
    for number in range(PLUGINS):
        name = f"plugin-{number:03}"
        (plugins / f"{name}.wasm").write_bytes(stamp(template, {"id": name, "version": "1.0.0"}))
        (plugins / f"{name}.toml").write_text("[grants]\nevents = true\n")
    times = []
    for _ in range(ROUNDS + 1):
        started = time.perf_counter()
        with weir(home / "boot", []) as server:
            times.append((time.perf_counter() - started) * 1000)
            listed = json.loads(call(server, "GET", "/api/v1/plugins")[1])["plugins"]
            assert [p["state"] for p in listed] == ["started"] * PLUGINS, listed
    return statistics.median(times[1:])


def hook_none():
    """What asking whether there are hooks at a point costs: `cargo bench` prints it."""
    args = ["cargo", "bench", "--profile", "release", "--package", "engine", "--bench", "hooks", "--all-features"]
    out = subprocess.run(args, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    return float(re.search(r"hook_none_ns ([-\d.]+)", out).group(1))


def machine():
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1))
    name = model.group(1).strip() if model else platform.machine()
    return f"{os.cpu_count()} x {name}, {memory / 1024 / 1024:.0f} GiB, {platform.system()} {platform.release().split('-')[0]}"


def report(results):
    """The table, and the lines around it."""
    lines = [f"{date.today()}, {machine()}; {ROUNDS} interleaved rounds of {SECONDS} s, wrk with {CONNECTIONS} connections, medians.", ""]
    lines += ["| what | measured | goal | |", "|---|---|---|---|"]
    for key, (what, sign, goal) in GOALS.items():
        if key in results:
            met = results[key] >= goal if sign == ">=" else results[key] <= goal
            lines.append(f"| {what} (`{key}`) | {results[key]:.2f} | {sign} {goal} | {'met' if met else '**missed**'} |")
    rates = results["requests_per_s"]
    lines += ["", "Requests a second: " + ", ".join(f"{kind} {rate:,}" for kind, rate in rates.items()) + "."]
    return "\n".join(lines)


def write(results):
    TARGET.mkdir(exist_ok=True)
    (TARGET / "bench.json").write_text(json.dumps(results, indent=2) + "\n")
    page = ROOT / "docs" / "benchmarks.md"
    begin, end = "<!-- measured: begin -->", "<!-- measured: end -->"
    text = page.read_text()
    head, _, rest = text.partition(begin)
    assert rest, f"{page} has no {begin}"
    page.write_text(head + begin + "\n" + report(results) + "\n" + end + rest.partition(end)[2])


def main():
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        throughput(home, results)
        results["idle_instance_kib"] = idle_instance(home)
        results["hooks10_us"] = hooks(home)
        results["boot200_ms"] = boot(home)
    results["hook_none_ns"] = hook_none()
    ordered = {key: round(results[key], 3) for key in GOALS if key in results}
    ordered["requests_per_s"] = results["requests_per_s"]
    ordered["date"] = str(date.today())
    ordered["machine"] = machine()
    write(ordered)
    print(report(ordered))
    print("bench: target/bench.json and docs/benchmarks.md are written")


if __name__ == "__main__":
    main()
