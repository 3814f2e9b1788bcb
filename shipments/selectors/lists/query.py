"""A list as it is defined, and one page of it as a viewer has asked for it: values, which every step is given."""

import hashlib
import uuid
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final
from urllib.parse import urlencode

from django.core.signing import BadSignature, Signer
from django.db.models import QuerySet

from shipments.parsing.query_parameters import (
    InvalidFields,
    Parameter,
    apply_filters,
    field_error,
)
from shipments.querysets import Viewer, VisibilityScope
from shipments.selectors.lists.paging import CursorPosition, Ordering, paging_parameters

# Clients hold cursors: another salt would make them invalid.
_signer: Final = Signer(salt="shipments.api.cursor")


@dataclass(frozen=True, eq=False)
class ListDefinition:
    """One list of the API: its rows, and what they may be filtered and sorted by.

    `bind_filters` returns the filters bound to a viewer, for a list with a filter that depends on it.
    """

    rows: Callable[[Viewer], QuerySet[Any]]
    columns: tuple[str, ...]
    filters: Mapping[str, Parameter]
    orderings: Mapping[str, Ordering]
    default_ordering: str
    bind_filters: Callable[[Viewer], Mapping[str, Parameter]] | None = None

    @cached_property
    def parameters(self) -> Mapping[str, Parameter]:
        """All query parameters by name, as the API documents them."""
        return {**self.filters, **paging_parameters(tuple(self.orderings), self.default_ordering)}

    def parameters_of(self, viewer: Viewer) -> Mapping[str, Parameter]:
        """Return all query parameters by name, with the filters of this viewer."""
        return self.parameters if self.bind_filters is None else {**self.parameters, **self.bind_filters(viewer)}


@dataclass(frozen=True, slots=True, eq=False)
class ListQuery:
    """A page of a list for one viewer: an immutable value, the same object for equal requests while it is cached.

    `texts` are the parameters as the client wrote them, `filter_values` the parsed values of those that filter;
    `start` is None for the first page.
    """

    definition: ListDefinition
    scope: VisibilityScope
    variant: str
    path: str
    query_string: str
    texts: Mapping[str, str]
    filters: Mapping[str, Parameter]
    filter_values: Mapping[str, Any]
    ordering: Ordering
    limit: int
    start: CursorPosition | None = None

    @property
    def sql_key(self) -> Hashable:
        """What decides the SQL beside ordering, limit and values; None where a filter runs queries of its own."""
        if any(each.runs_queries for each in self.filters.values()):
            return None
        return self.definition, self.scope

    def select(self, values: Mapping[str, Any]) -> QuerySet[Any]:
        """Return the rows in the viewer's sight, filtered by values like `filter_values`."""
        rows: QuerySet[Any] = apply_filters(
            self.definition.rows(self.scope), {name: values[name] for name in self.filters}, self.filters
        )
        return rows

    def cursor(self, position: CursorPosition) -> str:
        """Return the position as an opaque text, signed and bound to ordering and filters."""
        value = position.value.isoformat() if isinstance(position.value, datetime) else position.value
        fields = [self.ordering.name, self._fingerprint, int(position.backward), value, str(position.id)]
        return _signer.sign_object(fields)

    def page_url(self, position: CursorPosition | None) -> str | None:
        """Return path and query of the page at a position, None for no page. Only the client knows the host."""
        if position is None:
            return None
        parameters = [(name, text) for name, text in self.texts.items() if name != "cursor"]
        return f"{self.path}?{urlencode([*parameters, ('cursor', self.cursor(position))])}"

    def position(self, cursor: str) -> CursorPosition:
        """Return the position in a cursor; raises InvalidFields for one that was changed or is of another list."""
        try:
            name, fingerprint, backward, value, identifier = _signer.unsign_object(cursor)
        except (BadSignature, ValueError) as error:
            raise InvalidFields([field_error("cursor", "invalid", "This is not a cursor of ours.")]) from error
        if (name, fingerprint) != (self.ordering.name, self._fingerprint):
            message = "This cursor belongs to another ordering or other filters."
            raise InvalidFields([field_error("cursor", "mismatch", message)])
        parsed = datetime.fromisoformat(value) if self.ordering.is_time and value is not None else value
        return CursorPosition(parsed, uuid.UUID(identifier), bool(backward))

    @property
    def _fingerprint(self) -> str:
        """A short hash of the filters as written."""
        filter_texts = sorted((name, self.texts[name]) for name in self.filters)
        return hashlib.blake2b(repr(filter_texts).encode(), digest_size=6).hexdigest()
