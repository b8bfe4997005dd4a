"""A pipe in Python: greets people in the words that its valves give it.

The classes below are the plugin's roles. `just guests-other` generates the bindings they import and makes a component of all; what each function
is for and when it is called is said in wit/v0.1.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import pipe
from wit_world.imports import chat, values
from wit_world.imports import valves as host_valves

MANIFEST = {
    "id": "python-greet",
    "version": "1.0.0",
    "name": "Greeter (Python)",
    "description": "Greets people, in words of your choice",
}

SPEC = {
    "type": "object",
    "properties": {
        "greeting": {"type": "string", "default": "Hello, {name}!", "description": "{name} is who asks"},
        "times": {"type": "integer", "default": 1, "minimum": 1, "maximum": 10, "description": "How often"},
    },
}


class Lifecycle(exports.Lifecycle):
    def describe(self) -> str:
        return json.dumps(MANIFEST)

    def init(self, config: str) -> None:
        pass

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass


class Valves(exports.Valves):
    def spec(self) -> str:
        return json.dumps(SPEC)

    def updated(self, valves: str) -> None:
        if "{name}" not in json.loads(valves)["greeting"]:
            raise Err(values.Failure_Invalid("greeting: it must say {name} somewhere"))


class Pipe(exports.Pipe):
    def run(self, request: pipe.Request, reply: chat.Reply) -> None:
        valves = json.loads(host_valves.get())
        words = json.loads(request.user_message)
        name = words.strip() if isinstance(words, str) and words.strip() else "stranger"
        for _ in range(valves["times"]):
            reply.write(chat.Item_Text(valves["greeting"].replace("{name}", name)))
