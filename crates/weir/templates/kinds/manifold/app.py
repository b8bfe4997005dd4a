"""A manifold: one plugin, two models. People see `{{name}}.loud` and `{{name}}.quiet`; the pipe is told which one was asked for.

The classes are the plugin's roles. `weir build` makes the bindings they import, and a component of all. JSON crosses as text.
"""

import json
{{modules}}

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import manifold, pipe
from wit_world.imports import chat, values{{imports}}

{{head}}


class Manifold(exports.Manifold):
    def models(self) -> list[manifold.Model]:
        return [manifold.Model("loud", "Loud"), manifold.Model("quiet", "Quiet")]


class Pipe(exports.Pipe):
    def run(self, request: pipe.Request, reply: chat.Reply) -> None:
        {{use}}
        words = json.loads(request.user_message)
        reply.write(chat.Item_Text(answer(request.model, words if isinstance(words, str) else "")))


def answer(model: str, words: str) -> str:
    """What this model says to these words."""
    match model:
        case "loud":
            return words.upper()
        case "quiet":
            return words.lower()
        case other:
            # To say no, raise a failure; any other exception is a trap.
            raise Err(values.Failure_Invalid(f"no model is called '{other}'; there are loud and quiet"))
