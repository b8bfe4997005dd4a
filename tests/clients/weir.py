"""A weir process in folders of its own, with guests of the recorded corpus."""

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "guest-examples" / "dist" / "corpus"
PATIENCE = 60


class Weir:
    """Starts on entering, is killed on leaving. `base` is its URL, `key` its key. `config` makes a host configuration out of the folder that everything is in."""

    def __init__(self, strict, guests, config=None):
        self.config = config
        self.strict = strict
        self.key = "0p3n-w3bu!" if strict else "clients-test-key"
        self.guests = guests

    def __enter__(self):
        self.home = tempfile.TemporaryDirectory()
        plugins = Path(self.home.name) / "plugins"
        plugins.mkdir()
        for guest in self.guests:
            shutil.copy(DIST / f"{guest}.wasm", plugins)
        binary = os.environ.get("WEIR_BIN", ROOT / "target" / "release" / "weir")
        args = [binary, "serve", "--listen", "127.0.0.1:0", "--plugins", plugins, "--data", Path(self.home.name) / "data"]
        env = {n: v for n, v in os.environ.items() if not n.startswith("PIPELINES_") and n not in ("HOST", "PORT")}
        if self.config:
            path = Path(self.home.name) / "weir.toml"
            path.write_text(self.config(Path(self.home.name)))
            args += ["--config", path]
        if self.strict:
            args += ["--compat", "strict"]
        else:
            env["PIPELINES_API_KEY"] = self.key
        self.lines = []
        self.process = subprocess.Popen(args, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self._read, daemon=True).start()
        self.base = self._until("a URL", self._url)
        self._until("readiness", self._ready)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.home.cleanup()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)

    def _url(self):
        found = re.search(r"http://127\.0\.0\.1:\d+", "".join(self.lines))
        return found and found.group()

    def _ready(self):
        try:
            return urllib.request.urlopen(self.base + "/readyz", timeout=5).status == 200
        except OSError:
            return False

    def _until(self, what, condition):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            assert self.process.poll() is None, f"weir ended: {''.join(self.lines)}"
            time.sleep(0.01)
        raise AssertionError(f"no {what} within {PATIENCE} s: {''.join(self.lines)}")
