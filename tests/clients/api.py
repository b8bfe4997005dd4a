"""schemathesis over the routes of data pipelines: what it makes of the OpenAPI document is answered as that document says, and never with a 500.

Bounded in cases and in time, and the same each time: the seed is fixed.
"""

import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

ROUTES = r"^/api/v1/(pipelines|runs|schema)"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# Of each operation; and in seconds, for all.
CASES = 60
SECONDS = 90

RECORDS = '{"n": 1}\n{"n": 2}\nno json\n'
SPEC = """id: copy
parameters: {least: {type: integer, default: 0}}
timescope: {every: day}
source: {type: file, path: in.ndjson, validate: true}
transforms: [{type: filter, where: n > 1}]
sink: {type: console}
"""


def config(home):
    """The host configuration: a folder of specs and one of data, below `home`."""
    specs, data = home / "specs", home / "records"
    specs.mkdir()
    data.mkdir()
    (specs / "copy.pipeline.yaml").write_text(SPEC)
    (data / "in.ndjson").write_text(RECORDS)
    return f'[pipelines]\nfolders = ["{specs}"]\nfiles = ["{data}"]\n'


def checks():
    return [what_is_sent_is_answered_as_documented]


def what_is_sent_is_answered_as_documented(server):
    """It takes ids from answers, too, so there is a run before it begins."""
    run = ask(server, "/api/v1/pipelines/copy/runs", {"wait": True, "preview": 2})
    assert run["state"] == "partial", run
    with tempfile.TemporaryDirectory() as folder:
        command = [
            Path(sys.executable).with_name("schemathesis"), "run", f"{server.base}/openapi.json",
            "--include-path-regex", ROUTES, "--header", f"Authorization: Bearer {server.key}", "--checks", CHECKS,
            "--phases", "examples,coverage,fuzzing", "--max-examples", str(CASES), "--max-time", str(SECONDS), "--seed", "1",
            "--generation-database", "none", "--request-timeout", "70", "--suppress-health-check", "all", "--warnings", "off",
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS * 4)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    print("       " + done.stdout.split("Test cases:")[-1].split("\n")[1].strip())


def ask(server, path, body):
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    request = urllib.request.Request(server.base + path, json.dumps(body).encode(), headers)
    return json.load(urllib.request.urlopen(request, timeout=60))
