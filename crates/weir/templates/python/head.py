MANIFEST = {
    "id": "{{name}}",
    "version": "0.1.0",
    "name": "{{Title}}",
    "description": "{{description}}",
    {{manifest}}
}


class Lifecycle(exports.Lifecycle):
    def describe(self) -> str:
        return json.dumps(MANIFEST)

    def init(self, config: str) -> None:
        """Prepares an instance; `config` is {"config": {..}, "valves": {..}}."""

    def start(self) -> None:
        """The plugin is live now."""
        {{start}}

    def stop(self) -> None:
        """The version is let go."""
