"""A pipe: answers chats. People see it as the model `{{name}}`.

The classes are the plugin's roles. `weir build` makes the bindings they import, and a component of all. JSON crosses as text.
"""

import json
{{modules}}

{{err}}
from wit_world import exports
from wit_world.exports import pipe
from wit_world.imports import chat{{imports}}

{{head}}


class Pipe(exports.Pipe):
    def run(self, request: pipe.Request, reply: chat.Reply) -> None:
        {{use}}
        reply.write(chat.Item_Text(answer(json.loads(request.user_message))))


def answer(words: object) -> str:
    """What it says to these words; they are no text where somebody sent only pictures."""
    if not isinstance(words, str) or not words.strip():
        return "Say something."
    return f"You said: {words}"
