"""A subscriber in Python that answers letters: the bridge tells everybody that a letter was sent; when it is to this plugin, it fetches its letters
through a peer call and answers each. The grants are in `python-reply.toml`.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import subscriber
from wit_world.imports import calls, values

ID = "python-reply"

MANIFEST = {
    "id": ID,
    "version": "1.0.0",
    "name": "Letters answered (Python)",
    "description": "Answers letters on the bridge",
    "dependencies": [{"id": "bridge", "version": "^1.0"}],
    "topics": ["bridge.sent"],
}

# What an answer begins with. Letters that begin so are not answered: two that answer each other would never end.
MARK = "Re: "


class Lifecycle(exports.Lifecycle):
    def describe(self) -> str:
        return json.dumps(MANIFEST)

    def init(self, config: str) -> None:
        pass

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass


class Subscriber(exports.Subscriber):
    def on_event(self, event: subscriber.Event) -> None:
        # The bridge comes and goes, and that is told too: see `weir.dependency.*` in the contract.
        if event.topic != "bridge.sent" or json.loads(event.payload).get("to") != ID:
            return
        for letter in bridge("receive", {})["letters"]:
            if not letter["text"].startswith(MARK):
                bridge("send", {"to": letter["from"], "text": MARK + letter["text"]})


def bridge(method: str, payload: dict) -> dict:
    """What the bridge answers."""
    try:
        return json.loads(calls.call("bridge", method, json.dumps(payload), None))
    except Err as error:
        raise Err(values.Failure_Transient(values.Transience(f"bridge, {method}: {error.value}", None)))
