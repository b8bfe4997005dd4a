"""A filter: hides the words that its valves list in what people send to a model, and in the answers.

The classes are the plugin's roles. `weir build` makes the bindings they import, and a component of all. JSON crosses as text.
"""

import json
{{modules}}

{{err}}
from wit_world import exports
from wit_world.exports import filter as filter_role
from wit_world.imports import valves as host_valves{{imports}}

{{head}}


class Valves(exports.Valves):
    """What people can set while it runs."""

    def spec(self) -> str:
        words = {"type": "array", "items": {"type": "string"}}
        return json.dumps(
            {
                "type": "object",
                "properties": {
                    "pipelines": words | {"default": ["*"], "description": "Models whose chats are filtered; * for all"},
                    "priority": {"type": "integer", "default": 0, "description": "Filters run lowest first"},
                    "words": words | {"default": [], "description": "Words to hide"},
                },
            }
        )

    def updated(self, valves: str) -> None:
        """The valves have changed. Whoever needs them asks `host_valves.get()`."""


class Filter(exports.Filter):
    def inlet(self, message: filter_role.Message) -> str:
        {{use}}
        return hide_all(message.body)

    def outlet(self, message: filter_role.Message) -> str:
        return hide_all(message.body)


def hide_all(text: str) -> str:
    """The body with stars in every text of every message."""
    words = [word for word in json.loads(host_valves.get())["words"] if word]
    body = json.loads(text)
    for message in body.get("messages", []):
        content = message.get("content")
        if isinstance(content, str):
            message["content"] = hide(content, words)
        elif isinstance(content, list):
            for part in content:
                if isinstance(part.get("text"), str):
                    part["text"] = hide(part["text"], words)
    return json.dumps(body)


def hide(text: str, words: list[str]) -> str:
    """The text with three stars for each of the words."""
    for word in words:
        text = text.replace(word, "***")
    return text
