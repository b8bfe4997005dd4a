"""The role `sink`: its resource lives in a module of the interface's name."""

import json

import logic
from componentize_py_types import Err
from wit_world.exports import sink
from wit_world.imports import batches, state, values


class Writer(sink.Writer):
    """One writer lives for one run."""

    @classmethod
    def open(cls, config: str) -> "Writer":
        return cls()

    def push(self, batch: batches.Batch, key: str) -> list[batches.Reject]:
        if batch.encoding != batches.Encoding.NDJSON:
            raise Err(values.Failure_Invalid("the batch is Arrow IPC, not JSON lines"))
        kept, rejects = logic.sort([json.loads(line) for line in batch.data.splitlines() if line])
        try:
            state.set(f"batch/{key}", "".join(json.dumps(record) + "\n" for record in kept).encode())
        except Err as error:
            raise Err(values.Failure_Transient(values.Transience(f"state: {error.value}", None)))
        # Returning means that the records are safe.
        return [batches.Reject(index, reason) for index, reason in rejects]

    def finish(self) -> None:
        """No more records in this run."""
