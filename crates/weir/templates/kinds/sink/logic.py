"""What the plugin does, without the host."""


def sort(records: list) -> tuple[list[dict], list[tuple[int, str]]]:
    """The records to keep, and the places of those to give up on, with the reason: all that are no objects."""
    kept, rejects = [], []
    for index, record in enumerate(records):
        if isinstance(record, dict):
            kept.append(record)
        else:
            rejects.append((index, "the record is no object"))
    return kept, rejects
