#!/usr/bin/env python3
"""Makes plugins of templates: writes a manifest into each, and the operator's settings beside it. README.md says how a template looks.

    stamp.py TEMPLATES DIST            the plugins of plugins.py, into DIST/system and DIST/hostile/system
    stamp.py TEMPLATE MANIFEST OUT     one plugin; MANIFEST is a file with JSON

A file that has not changed is left alone; what is no longer made is removed.
"""
import json
import os
import sys
from pathlib import Path

MARK = b"WEIR-ACTOR-MANIFEST:"


def stamp(template: bytes, manifest: dict) -> bytes:
    """The component with this manifest. Fails if the template has no room, or too little."""
    text = json.dumps(manifest, separators=(",", ":")).encode()
    if template.count(MARK) != 1:
        raise ValueError(f"a template holds {MARK.decode()} once, this one {template.count(MARK)} times")
    start = template.index(MARK) + len(MARK)
    room = len(template) - start - len(template[start:].lstrip(b" "))
    if len(text) > room:
        raise ValueError(f"{manifest['id']}: the manifest has {len(text)} bytes, there is room for {room}")
    return template[:start] + text.ljust(room) + template[start + room:]


def put(path: Path, content: bytes) -> None:
    """Writes a file, if it differs. Under another name first: whoever watches the folder never sees half a file."""
    if path.is_file() and path.read_bytes() == content:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_bytes(content)
    os.replace(new, path)
    if path.suffix == ".wasm":
        print(f"guests: {path}")


def everything(templates: Path, dist: Path) -> None:
    from plugins import PLUGINS

    cache = {path.stem: path.read_bytes() for path in templates.glob("*.wasm")}
    made = set()
    for plugin in PLUGINS:
        path = dist / plugin.folder / f"{plugin.file}.wasm"
        files = {path: stamp(cache[plugin.template], plugin.manifest)}
        if plugin.settings:
            files[path.with_suffix(".toml")] = plugin.settings.encode()
        if made & files.keys():
            sys.exit(f"stamp: two plugins make {path}")
        for path, content in files.items():
            put(path, content)
        made |= files.keys()
    for folder in {dist / plugin.folder for plugin in PLUGINS}:
        for path in folder.iterdir():
            if path.is_file() and path not in made:
                path.unlink()
                print(f"guests: removed {path}")


def main() -> None:
    match sys.argv[1:]:
        case [template, manifest, out]:
            put(Path(out), stamp(Path(template).read_bytes(), json.loads(Path(manifest).read_text())))
        case [templates, dist]:
            everything(Path(templates), Path(dist))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
