"""What the plugin does, without the host."""


class Numbers:
    """The numbers from `from` to before `to`, or from the cursor on. Settings that do not fit are a ValueError."""

    def __init__(self, config: dict, cursor: int | None) -> None:
        for key in ("from", "to"):
            if not isinstance(config.get(key), int):
                raise ValueError(f"'{key}' must be a whole number, and is {config.get(key)!r}")
        self.next = config["from"] if cursor is None else cursor
        self.to = config["to"]

    def take(self, most: int) -> list[dict]:
        """The next records, at most so many."""
        end = min(self.to, self.next + most)
        records = [{"n": n} for n in range(self.next, end)]
        self.next = max(self.next, end)
        return records

    @property
    def done(self) -> bool:
        return self.next >= self.to
