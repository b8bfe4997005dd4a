"""A hook: code that runs where the host, or another plugin, says it is about to do something. This one runs before each chat that a
plugin answers: it puts a rule in front of the conversation and refuses a chat in which nobody has said anything.

The classes are the plugin's roles. `weir build` makes the bindings they import, and a component of all. JSON crosses as text.
"""

import json
{{modules}}

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports import hooking, values{{imports}}

RULE = "Answer in one sentence."

{{head}}


class Hooks(exports.Hooks):
    """Called at the points and in the modes that the manifest names: here `before` at `chat_request`."""

    def before(self, point: str, context: str) -> str:
        {{use}}
        chat = json.loads(context)
        messages = chat["body"].get("messages")
        if not messages:
            # To say no, raise a failure; any other exception is a trap.
            raise Err(values.Failure_Refused("nobody has said anything"))
        messages.insert(0, {"role": "system", "content": RULE})
        return json.dumps(chat)

    def after(self, point: str, context: str) -> str:
        return json.dumps(json.loads(context)["result"])

    def around(self, point: str, context: str, next: hooking.Continuation) -> str:
        return next.run(context)

    def replace(self, point: str, context: str) -> str:
        raise Err(values.Failure_Internal(f"this plugin does not replace '{point}'"))
