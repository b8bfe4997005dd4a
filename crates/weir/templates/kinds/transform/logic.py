"""What the plugin does, without the host."""


def field(config: dict) -> str:
    """The field that the settings name. Settings that do not fit are a ValueError."""
    name = config.get("field")
    if not isinstance(name, str):
        raise ValueError(f"'field' must be a text, and is {name!r}")
    return name


def trim(records: list, field: str) -> tuple[list, list[tuple[int, str]]]:
    """The records with that field's text trimmed, and the places of those without it, with the reason."""
    kept, rejects = [], []
    for index, record in enumerate(records):
        if isinstance(record, dict) and isinstance(record.get(field), str):
            kept.append(record | {field: record[field].strip()})
        else:
            rejects.append((index, f"no text in '{field}'"))
    return kept, rejects
