"""What a request for an event stream may say: the cursor `epoch:seq`, as `Last-Event-ID` or `?lastEventId=`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from django.http import HttpRequest

from shipments.parsing.query_parameters import InvalidFields, Parameter, field_error, parse_parameters
from shipments.parsing.values import InvalidValue

# The key of the ASGI scope with the exception of a refusal that REST has none for.
REFUSAL_KEY: Final = "freight.stream_refusal"
HEADER: Final = "Last-Event-ID"
_CURSOR: Final = re.compile(r"([^:\s]{1,64}):(\d{1,18})", re.ASCII)
_SYNTAX: Final = "The last event id is `epoch:seq`, as it stood in an `id:` line."


@dataclass(frozen=True, slots=True)
class StreamCursor:
    """The last event that a client has; both fields are None for a client that has none."""

    seq: int | None = None
    epoch: str | None = None


def parse_cursor(text: str) -> StreamCursor:
    """Return the cursor of an `id:` line, an empty one for empty text; raises InvalidValue."""
    if not text.strip():
        return StreamCursor()
    match = _CURSOR.fullmatch(text.strip())
    if match is None:
        raise InvalidValue(_SYNTAX)
    return StreamCursor(int(match[2]), match[1])


_PARAMETERS: Final[Mapping[str, Parameter]] = {"lastEventId": Parameter(parse_cursor, "The cursor.")}


def cursor_of(request: HttpRequest) -> StreamCursor:
    """Return the cursor of a request, whose header counts before its query; raises InvalidFields."""
    in_query: StreamCursor = parse_parameters(request.GET, _PARAMETERS).get("lastEventId", StreamCursor())
    try:
        in_header = parse_cursor(request.headers.get(HEADER, ""))
    except InvalidValue as error:
        raise InvalidFields([field_error(HEADER, "invalid", str(error))]) from error
    return in_query if in_header.seq is None else in_header
