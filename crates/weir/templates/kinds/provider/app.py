"""A provider: offers a capability that other plugins look up by name and use through peer calls. This one provides `word-count`, with
the method `count`.

The classes are the plugin's roles. `weir build` makes the bindings they import, and a component of all. JSON crosses as text.
"""

import json
{{modules}}

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import peer
from wit_world.imports import values{{imports}}

{{head}}


class Peer(exports.Peer):
    def handle(self, request: peer.Request) -> str:
        {{use}}
        # `request.caller` is who asks: act with its rights in mind, not your own.
        match request.method:
            case "count":
                return json.dumps(count(json.loads(request.payload)))
            case other:
                # To say no, raise a failure; any other exception is a trap.
                raise Err(values.Failure_Invalid(f"no method is called '{other}'; there is count"))


def count(payload: object) -> dict:
    """How many words are in `{"text": ..}`."""
    text = payload.get("text") if isinstance(payload, dict) else None
    if not isinstance(text, str):
        raise Err(values.Failure_Invalid('count: give {"text": ..}'))
    return {"words": len(text.split())}
