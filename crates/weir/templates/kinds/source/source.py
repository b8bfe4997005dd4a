"""The role `source`: its resource lives in a module of the interface's name."""

import json

import logic
from componentize_py_types import Err
from wit_world.exports import source
from wit_world.imports import batches, values


class Reader(source.Reader):
    """One reader lives for one run."""

    def __init__(self, numbers: logic.Numbers) -> None:
        self.numbers = numbers

    @classmethod
    def open(cls, config: str, cursor: str | None, window: batches.Window | None) -> "Reader":
        try:
            # The cursor is what the last run gave with its last batch: go on from there.
            return cls(logic.Numbers(json.loads(config), None if cursor is None else json.loads(cursor)))
        except ValueError as error:
            raise Err(values.Failure_Invalid(f"settings: {error}"))

    def pull(self, max_records: int, max_bytes: int) -> source.Pulled:
        records = self.numbers.take(max_records)
        lines = "".join(json.dumps(record) + "\n" for record in records)
        batch = batches.Batch(batches.Encoding.NDJSON, len(records), lines.encode())
        return source.Pulled(batch, json.dumps(self.numbers.next), self.numbers.done)
