"""The role `transform`: its resource lives in a module of the interface's name."""

import json

import logic
from componentize_py_types import Err
from wit_world.exports import transform
from wit_world.imports import batches, values


class Transformer(transform.Transformer):
    """One transformer lives for one run."""

    def __init__(self, field: str) -> None:
        self.field = field

    @classmethod
    def open(cls, config: str) -> "Transformer":
        try:
            return cls(logic.field(json.loads(config)))
        except ValueError as error:
            raise Err(values.Failure_Invalid(f"settings: {error}"))

    def apply(self, batch: batches.Batch) -> transform.Transformed:
        if batch.encoding != batches.Encoding.NDJSON:
            raise Err(values.Failure_Invalid("the batch is Arrow IPC, not JSON lines"))
        records = [json.loads(line) for line in batch.data.splitlines() if line]
        kept, rejects = logic.trim(records, self.field)
        lines = "".join(json.dumps(record) + "\n" for record in kept)
        return transform.Transformed(
            batches.Batch(batches.Encoding.NDJSON, len(kept), lines.encode()),
            [batches.Reject(index, reason) for index, reason in rejects],
        )

    def finish(self) -> batches.Batch | None:
        return None
