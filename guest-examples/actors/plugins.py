"""The plugins that stamp.py makes: id, template, folder, manifest, and the operator's settings. README.md says what they are for."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Plugin:
    """One plugin to make. `settings` is the text of its TOML file; empty: none."""

    folder: str
    file: str
    template: str
    manifest: dict
    settings: str


PLUGINS: list[Plugin] = []


def plugin(folder: str, name: str, template: str, settings: str = "", **manifest: object) -> None:
    PLUGINS.append(Plugin(folder, name, template, {"id": name, "version": "1.0.0", **manifest}, settings))


def hook(folder: str, name: str, mode: str, does: object, point: str = "chat_request", template: str = "hook", **more: object) -> None:
    """A plugin with one hook. `more` goes into the hook's declaration."""
    does = does if template != "hook" else {mode: does}
    hooks = [{"point": point, "mode": mode, **more}]
    grants = {"meddler": "events = true\ncalls = true\n"}.get(template, "")
    dependencies = [depends("callee")] if "call" in does else []
    plugin(folder, name, template, f'[grants]\nhooks = ["{point}"]\n{grants}', hooks=hooks, does=does, dependencies=dependencies)


def depends(plugin_id: str, version: str = "*", optional: bool = False) -> dict:
    return {"id": plugin_id, "version": version, "optional": optional}


def relay(folder: str, name: str, *dependencies: dict, **manifest: object) -> None:
    plugin(folder, name, "relay", "[grants]\ncalls = true\n", dependencies=list(dependencies), **manifest)


def listener(folder: str, name: str, topics: list[str], on_event: object = None) -> None:
    """A subscriber in one instance, so that it can tell what it heard."""
    does = {} if on_event is None else {"on_event": on_event}
    plugin(folder, name, "bus", 'reuse = "single"\n[grants]\nevents = true\n', topics=topics, does=does)


GOOD = "system"
BAD = "hostile/system"
LAST = "/body/messages/-/content"

# Hooks at every mode of a chat: what each does is seen in the answer of `echo`.
hook(GOOD, "hook-before", "before", {"edit": {"append": {LAST: " [before]"}}})
hook(GOOD, "hook-after", "after", {"edit": {"append": {"/text": " [after]"}}})
hook(GOOD, "hook-around", "around", {"edit": {"append": {LAST: " [around in]"}}, "edit_result": {"append": {"/text": " [around out]"}}})
hook(GOOD, "hook-replace-a", "replace", {"answer": {"text": "answered by hook-replace-a"}}, priority=10)
hook(GOOD, "hook-replace-b", "replace", {"answer": {"text": "answered by hook-replace-b"}}, priority=20)
hook(GOOD, "hook-refuse", "before", {"fail": "refused"})
hook(GOOD, "hook-reply", "before", {"edit": {"append": {"/text": " [reply]"}}}, point="chat_reply")
hook(GOOD, "hook-inlet", "before", {"edit": {"append": {LAST: " [inlet]"}}}, point="inlet")
hook(GOOD, "hook-outlet", "after", {"edit": {"append": {LAST: " [outlet]"}}}, point="outlet")
hook(GOOD, "hook-event-edit", "before", {"edit": {"set": {"/payload/edited": True}}}, point="event_emitted")
hook(GOOD, "hook-event-refuse", "before", {"fail": "refused"}, point="event_emitted")
hook(GOOD, "hook-load-refuse", "before", {"fail": "refused"}, point="plugin_load")
hook(GOOD, "hook-unload-refuse", "before", {"fail": "refused"}, point="plugin_unload")
hook(GOOD, "hook-calls-peer", "before", {"call": "callee", "show": LAST}, template="meddler")
hook(GOOD, "hook-at-own-point", "before", {"edit": {"append": {"/text": " [hooked]"}}}, point="bridge/before_send")
# Ten hooks that pass on what they get, for the benchmark.
for number in range(10):
    hook(GOOD, f"tens-{number}", ["before", "after"][number % 2], "pass", priority=number)

listener(GOOD, "listener", ["orders.*"])
listener(GOOD, "listener-all", ["*"])
plugin(GOOD, "emitter", "bus", '[grants]\nevents = { emit = ["orders.*"] }\n')
plugin(GOOD, "emitter-all", "bus", "[grants]\nevents = true\n")

CALLEES = ["callee", "bridge", "provider", "listener", "deputy", "deputy-unchecked", "peer-trap", "peer-spin", "peer-block", "peer-slow", "peer-fail"]
relay(GOOD, "caller", *(depends(name, optional=True) for name in CALLEES))
relay(GOOD, "callee", provides={"echo": {"type": "test"}})
plugin(GOOD, "needs-callee", "tiny", dependencies=[depends("callee", "^1.0")])
plugin(GOOD, "wants-callee", "tiny", dependencies=[depends("callee", "^1.0", optional=True)])
plugin(GOOD, "needs-needs-callee", "tiny", dependencies=[depends("needs-callee")])
plugin(GOOD, "provides-a", "tiny", provides={"embeddings": {"type": "llm", "models": ["a"]}, "streaming": True})
plugin(GOOD, "provides-b", "tiny", provides={"embeddings": {"type": "llm", "models": ["b"]}})
plugin(GOOD, "moody", "life", "[grants]\nstate = true\n")

# Hooks that crash, in every mode, with what their mode does about it, and with the opposite.
for mode in ["before", "after", "around", "replace"]:
    for misdeed in ["trap", "spin", "block"]:
        hook(BAD, f"hook-{misdeed}-{mode}", mode, misdeed)
        other = "fail" if mode == "after" else "skip"
        hook(BAD, f"hook-{misdeed}-{mode}-{other}", mode, misdeed, on_failure=other)
hook(BAD, "hook-never-next", "around", {"never": {"text": "next was never called"}})
hook(BAD, "hook-twice", "around", "twice")
hook(BAD, "hook-trap-after-next", "around", {"then": "trap"})
hook(BAD, "hook-trap-after-next-skip", "around", {"then": "trap"}, on_failure="skip")
hook(BAD, "hook-spin-after-next", "around", {"then": "spin"})
hook(BAD, "hook-wrong-schema", "before", {"edit": {"set": {"/body": 7}}})
hook(BAD, "hook-rubbish-text", "before", {"text": "this is not JSON"}, template="rubbish")
hook(BAD, "hook-rubbish-scalar", "before", {"text": "7"}, template="rubbish")
hook(BAD, "hook-rubbish-deep", "before", {"repeat": "[", "times": 1_000_000}, template="rubbish")
hook(BAD, "hook-rubbish-big", "before", {"repeat": " ", "times": 64 << 20}, template="rubbish")
hook(BAD, "hook-rubbish-claim", "before", {"claim": 1 << 30}, template="rubbish")
hook(BAD, "hook-rubbish-after", "after", {"text": "this is not JSON"}, template="rubbish")
plugin(BAD, "hook-nowhere", "hook", "[grants]\nhooks = true\n", hooks=[{"point": "chat_requests", "mode": "before"}])
hook(BAD, "hook-bad-mode", "replace", "pass", point="plugin_load")
# Hooks that cause what they hook into.
hook(BAD, "meddler-self", "before", {"emit": "meddler.self", "show": "/payload/meddled"}, point="event_emitted", template="meddler")
hook(BAD, "meddler-a", "before", {"emit": "meddler.a", "show": "/payload/meddled"}, point="event_emitted", template="meddler")
hook(BAD, "meddler-b", "before", {"emit": "meddler.b", "show": "/payload/meddled"}, point="event_emitted", template="meddler")

# Data stages that do what a stage's settings say, mostly harm.
plugin(BAD, "stage", "stage", "[limits]\nfuel = 100_000_000\n")

# Storms: `storm` answers each event with one, `storm-double` with two, the pair each other.
listener(BAD, "storm", ["storm.*"], {"emit": "storm.again"})
listener(BAD, "storm-double", ["double.*"], {"emit": "double.again", "times": 2})
listener(BAD, "storm-ping", ["ping.*"], {"emit": "pong.again"})
listener(BAD, "storm-pong", ["pong.*"], {"emit": "ping.again"})
for misdeed in ["trap", "spin", "block"]:
    listener(BAD, f"listener-{misdeed}", ["orders.*"], misdeed)
listener(BAD, "listener-slow", ["orders.*"], {"sleep_ms": 100})
listener(BAD, "listener-fail", ["orders.*"], {"fail": "internal"})

# Peers. The first cycle is possible only because one side can do without the other; the trio below is refused.
relay(BAD, "cycle-a", depends("cycle-b"))
relay(BAD, "cycle-b", depends("cycle-a", optional=True))
for number in range(10):
    relay(BAD, f"deep-{number}", *([depends(f"deep-{number + 1}")] if number < 9 else []))
relay(BAD, "flooder", depends("callee"))
relay(BAD, "stranger")
for misdeed in ["trap", "spin", "block"]:
    relay(BAD, f"peer-{misdeed}", does={"handle": misdeed})
relay(BAD, "peer-slow", does={"handle": {"sleep_ms": 300}})
relay(BAD, "peer-fail", does={"handle": {"fail": "refused"}})
DEPUTY = '[grants]\nhttp = { allow = ["https://api.example.com"] }\nsecrets = ["known"]\n'
plugin(BAD, "deputy", "deputy", DEPUTY, does={"callers": ["trusted"]})
plugin(BAD, "deputy-unchecked", "deputy", DEPUTY)
for name in ["thief", "trusted"]:
    relay(BAD, name, depends("deputy"), depends("deputy-unchecked", optional=True))
plugin(BAD, "probe", "probe", '[grants]\nsecrets = ["known", "unset"]\nmetrics = true\n')

# Dependencies that cannot be met.
for name, needs in [("circle-a", "circle-b"), ("circle-b", "circle-c"), ("circle-c", "circle-a"), ("circle-guest", "circle-a")]:
    plugin(BAD, name, "tiny", dependencies=[depends(needs)])
plugin(BAD, "orphan", "tiny", dependencies=[depends("nobody")])
plugin(BAD, "orphan-child", "tiny", dependencies=[depends("orphan")])
plugin(BAD, "too-new", "tiny", dependencies=[depends("callee", "^9.0")])
plugin(BAD, "bad-range", "tiny", dependencies=[depends("callee", "one")])
plugin(BAD, "self-dependent", "tiny", dependencies=[depends("self-dependent")])
# Each needs the next, so that the order of names is the wrong one.
for number in range(500):
    needs = [depends(f"chain-{number + 1:03}")] if number < 499 else []
    plugin("hostile/chain", f"chain-{number:03}", "tiny", dependencies=needs, listed=False)

# Manifests that are too much, by far and by one entry, or not what they should be.
for key, many in {"hooks": 10_000, "topics": 10_000, "dependencies": 10_000, "points": 10_000, "provides": 10_000, "deep": 1_000}.items():
    plugin(BAD, f"bomb-{key}", "hook", does={"bomb": {key: many}})
for key in ["hooks", "topics", "dependencies", "points", "provides"]:
    plugin(BAD, f"bomb-101-{key}", "hook", does={"bomb": {key: 101}})
plugin(BAD, "bomb-same-hooks", "hook", does={"bomb": {"same_hooks": 2}})
plugin(BAD, "bomb-name", "hook", does={"bomb": {"name": 1 << 20}})
plugin(BAD, "bomb-schema", "hook", points=[{"name": "p", "schema": "not a schema"}])
plugin(BAD, "bad-topic", "bus", "[grants]\nevents = true\n", topics=["a b"])
plugin(BAD, "bad-capability", "tiny", provides={"A B": True})

# The end: it hangs.
for misdeed in ["spin", "block", "trap"]:
    plugin(BAD, f"stop-{misdeed}", "life", f'[grants]\nstate = true\n[config]\nstop = "{misdeed}"\n')
