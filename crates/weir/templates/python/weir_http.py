"""Outgoing HTTP over `wasi:http`, blocking. The host connects, checks every address, follows no redirects and bounds time and bytes."""

from urllib.parse import urlsplit

from componentize_py_types import Err, Ok
from wit_world.imports import outgoing_handler, streams, types


class HttpError(Exception):
    """The host says no, or the upstream failed."""


def get(url: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body of the answer."""
    parts = urlsplit(url)
    fields = types.Fields.from_list([(name, value.encode()) for name, value in (headers or {}).items()])
    request = types.OutgoingRequest(fields)
    try:
        request.set_scheme(types.Scheme_Https() if parts.scheme == "https" else types.Scheme_Http())
        request.set_authority(parts.netloc)
        request.set_path_with_query((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        with outgoing_handler.handle(request, None) as future:
            with future.subscribe() as ready:
                ready.block()
            match future.get():
                case Ok(Ok(response)):
                    with response:
                        return response.status(), _read(response)
                case Ok(Err(code)):
                    raise HttpError(f"{url}: {_say(code)}")
                case _:
                    raise HttpError(f"{url}: no answer")
    except Err as error:
        raise HttpError(f"{url}: {_say(error.value)}")


def _read(response: types.IncomingResponse) -> bytes:
    data = bytearray()
    with response.consume() as body, body.stream() as stream:
        while True:
            try:
                data += stream.blocking_read(65536)
            except Err as error:
                if isinstance(error.value, streams.StreamError_Closed):
                    return bytes(data)
                raise


def _say(code: object) -> str:
    name = type(code).__name__.removeprefix("ErrorCode_")
    value = getattr(code, "value", None)
    return name if value is None else f"{name}: {value}"
