"""Starts weir in both modes and runs every check of the real clients against it. Ends with status 1 if one fails.

run.py CACHE: the folder with open-webui-<version>/pipelines.py
"""

import sys
import traceback
from pathlib import Path

import api
import owui
import sdk
from weir import Weir

GUESTS = """
ok echo_str gen_words gen_mixed iter_list none_result dict_result raises gen_raises custom_id manifold_list
filter_basic with_hooks valves_all
""".split()


def run(checks, *args):
    """Runs checks in order; returns how many failed."""
    failed = 0
    for check in checks:
        try:
            check(*args)
            print(f"  ok    {check.__module__}.{check.__name__}", flush=True)
        except Exception:
            failed += 1
            print(f"  FAIL  {check.__module__}.{check.__name__}\n{traceback.format_exc()}", flush=True)
    return failed


def main(cache):
    clients = sorted(cache.glob("open-webui-*/pipelines.py"))
    assert clients, f"no Open WebUI in {cache}"
    failed = 0
    for strict in (False, True):
        mode = "strict" if strict else "default"
        with Weir(strict, GUESTS) as server:
            print(f"openai SDK, {mode} mode")
            failed += run(sdk.checks(strict), server)
        for client in clients:
            with Weir(strict, GUESTS) as server:
                print(f"Open WebUI {client.parent.name.removeprefix('open-webui-')}, {mode} mode")
                failed += run(owui.checks(strict), server, owui.load(client))
    with Weir(False, [], api.config) as server:
        print("schemathesis, routes of data pipelines")
        failed += run(api.checks(), server)
    print("all clients are content" if not failed else f"{failed} checks failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
