"""Keyset paging: orderings, positions in an ordered list, and the query parameters that every list takes."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from shipments.parsing.query_parameters import Parameter, enum_schema
from shipments.parsing.values import choice, text_up_to, whole_number

MAX_LIMIT: Final = 200
DEFAULT_LIMIT: Final = 50


@dataclass(frozen=True, slots=True)
class Ordering:
    """One way to sort: by a column, then by id. Rows in which the column is NULL come last in both directions."""

    name: str
    column: str
    descending: bool = False
    nullable: bool = False
    is_time: bool = True

    @property
    def reversed(self) -> Self:
        """The opposite direction, under the name with `-` added or removed."""
        name = self.name[1:] if self.descending else f"-{self.name}"
        return type(self)(name, self.column, not self.descending, self.nullable, self.is_time)


@dataclass(frozen=True, slots=True)
class CursorPosition:
    """A place beside one row, by its sort value and id, and the direction in which to read on from there."""

    value: str | datetime | None
    id: uuid.UUID
    backward: bool = False


def orderings(*ascending: Ordering) -> dict[str, Ordering]:
    """Return these orderings and their opposites by name."""
    return {each.name: each for ordering in ascending for each in (ordering, ordering.reversed)}


def paging_parameters(ordering_names: tuple[str, ...], default: str) -> Mapping[str, Parameter]:
    """Return the parameters that every list takes beside its filters; `default` is the default ordering."""
    return {
        "ordering": Parameter(
            choice(ordering_names),
            f"The order; `-` turns it round. Default `{default}`.",
            enum_schema(ordering_names),
        ),
        "limit": Parameter(
            whole_number(1, MAX_LIMIT),
            f"The most results of a page. Default {DEFAULT_LIMIT}.",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        ),
        "cursor": Parameter(
            text_up_to(2000),
            "Where the page begins: taken from `next` or `previous`, together with the same filters and ordering.",
        ),
    }
