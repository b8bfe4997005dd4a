"""Runs each flow with weir and compares what it wrote with what DuckDB makes of the same files.

usage: check.py DATA OUT POSTGRES_SCRIPT; WEIR_BIN names the program. Ends with 1 at the first difference.
"""

import http.server
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import duckdb

HERE = Path(__file__).parent
DATA, OUT, POSTGRES = (Path(word) for word in sys.argv[1:4])
WEIR = os.environ["WEIR_BIN"]

RAINY = f"""
    SELECT upper(location) AS city, date AS day, precipitation AS rain_mm, temp_max AS max, temp_min AS min,
           round(wind * 10)::BIGINT AS tenths, 'vega-datasets' AS source
    FROM read_csv('{DATA}/weather.csv', types={{'date': 'DATE', 'wind': 'DECIMAL(9,3)'}})
    WHERE precipitation > 0 AND weather <> 'snow'"""
LATE = f"""
    SELECT date, delay, distance, origin AS "from", destination AS "to"
    FROM '{DATA}/flights-3m.parquet' WHERE delay > 60"""
FIRST = f"""
    SELECT distance, delay, floor(time * 100) / 100 AS hours
    FROM (SELECT *, row_number() OVER () AS n FROM read_json('{DATA}/flights-200k.json'))
    QUALIFY row_number() OVER (PARTITION BY distance ORDER BY n) = 1"""
AIRPORTS = f"SELECT * FROM read_csv('{DATA}/airports.csv') WHERE country = 'USA'"


def weir(flow, environment=None, **parameters):
    """Runs a flow; its report goes where this program's does."""
    words = [WEIR, "run", str(HERE / f"{flow}.pipeline.yaml")]
    for name, value in parameters.items():
        words += ["--param", f"{name}={value}"]
    subprocess.run(words, check=True, env=environment)


def same(name, ours, theirs):
    """Both queries have the same rows, each as often, and there are some."""
    [(count,)] = duckdb.sql(f"SELECT count(*) FROM ({theirs})").fetchall()
    extra = duckdb.sql(f"({ours}) EXCEPT ALL ({theirs})").fetchall()
    missing = duckdb.sql(f"({theirs}) EXCEPT ALL ({ours})").fetchall()
    if extra or missing or not count:
        print(f"{name}: {len(extra)} rows that should not be there, {len(missing)} missing of {count}")
        print("  ours:  ", extra[:3])
        print("  DuckDB:", missing[:3])
        sys.exit(1)
    print(f"{name}: {count} records as DuckDB has them")


def files():
    weir("weather", data=DATA, out=OUT)
    for file, read in [("weather.ndjson.gz", "read_json"), ("weather.parquet", "read_parquet")]:
        ours = f"""SELECT city, day::DATE AS day, rain_mm, temperature.max AS max, temperature.min AS min, tenths, source
                   FROM {read}('{OUT}/{file}')"""
        same(file, ours, RAINY)
    weir("flights", data=DATA, out=OUT)
    ours = f"""SELECT date::TIMESTAMP AS date, delay, distance, "from", "to" FROM read_csv('{OUT}/late.csv.zst')"""
    same("late.csv.zst", ours, LATE)
    weir("delays", data=DATA, out=OUT)
    same("delays.ndjson", f"SELECT distance, delay, hours FROM read_json('{OUT}/delays.ndjson')", FIRST)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def until_ready(server, probe):
    """Waits until a server answers, a minute at most."""
    for _ in range(600):
        if subprocess.run(probe, capture_output=True).returncode == 0:
            return
        if server.poll() is not None:
            break
        time.sleep(0.1)
    sys.exit("PostgreSQL did not start")


def over_http_into_postgres():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=DATA))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder, port = tempfile.mkdtemp(), free_port()
    postgres = subprocess.Popen([POSTGRES, folder, str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # The password is the cluster's own, made for this test; a spec names where it is.
    environment = {**os.environ, "DATABASE": f"postgres://postgres:weir@127.0.0.1:{port}/postgres"}
    try:
        psql = ["psql", "-q", "-v", "ON_ERROR_STOP=1", environment["DATABASE"], "-c"]
        until_ready(postgres, [*psql, "select 1"])
        # Twice: the second run finds every row there and changes nothing.
        for _ in range(2):
            weir("airports", environment, server=f"http://127.0.0.1:{server.server_port}")
        table = OUT / "airports.csv"
        copy = f"\\copy airports (iata, name, city, state, country, latitude, longitude) to '{table}' csv header"
        subprocess.run([*psql, copy], check=True)
    finally:
        postgres.send_signal(signal.SIGINT)
        postgres.wait()
        shutil.rmtree(folder, ignore_errors=True)
        server.shutdown()
    same("airports in PostgreSQL", f"SELECT * FROM read_csv('{table}')", AIRPORTS)


shutil.rmtree(OUT, ignore_errors=True)
OUT.mkdir(parents=True)
files()
over_http_into_postgres()
