"""Parse what a client asks of a list. The walk of a list read begins here.

Every list that pages by keyset (shipments, drivers, customers, the audit log) is read in four steps. The caller, a
DRF view or `freight.fast_path`, has authenticated the subject and checked its permission, and calls them in turn:

1. Parse: `parse_list_query` turns path, query string and subject into a `ListQuery`, the value that decides
   everything the page shows. Raises InvalidFields.
2. Fetch: `keyset.read_page` reads the rows, by SQL that `compiled_sql.lists` compiles once for each shape from the
   queryset of `segments`. Pages of shipments go through `caching.pages.fetch_page`: it asks `caching.versions` what
   is committed and `caching.service` for the page of that version, and only on a miss has
   `caching.page_builder.PageBuilder` call `keyset.read_page`.
3. Render: `rendering.render_rows`, or `CachedPage.render`, which puts the current positions of the drivers into the
   cached lines. The result is a `RenderedPage`: bytes, URLs of the pages around it, ETag.
4. Respond: `api.lists.responses.page_response` writes status, ETag and Link.

Calls go down this list only: no step calls back into one before it, and each works on values, not on the request.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Final

from django.http import QueryDict

from shipments.auth.subjects import Subject
from shipments.parsing.query_parameters import find_parameter, parse_parameters
from shipments.querysets import VisibilityScope
from shipments.selectors.lists.paging import DEFAULT_LIMIT
from shipments.selectors.lists.query import ListDefinition, ListQuery

_MAX_PARSED: Final = 1024


def parse_list_query(definition: ListDefinition, path: str, query_string: str, subject: Subject) -> ListQuery:
    """Return the query of a page of a list; raises InvalidFields."""
    return _parse(definition, path, query_string, subject.visibility_scope, subject.variant)


# A pure function of its arguments, so the query of a client that polls is parsed once. Errors are not cached.
@lru_cache(maxsize=_MAX_PARSED)
def _parse(
    definition: ListDefinition, path: str, query_string: str, scope: VisibilityScope, variant: str
) -> ListQuery:
    query_dict = QueryDict(query_string)
    parameters = definition.parameters_of(scope)
    values = parse_parameters(query_dict, parameters)
    filters = {
        name: parameter
        for name in values
        if (parameter := find_parameter(parameters, name)) is not None and parameter.apply_filter is not None
    }
    query = ListQuery(
        definition=definition,
        scope=scope,
        variant=variant,
        path=path,
        query_string=query_string,
        texts={name: str(text) for name, text in query_dict.items()},
        filters=filters,
        filter_values={name: values[name] for name in filters},
        ordering=definition.orderings[values.get("ordering", definition.default_ordering)],
        limit=values.get("limit", DEFAULT_LIMIT),
    )
    return replace(query, start=query.position(values["cursor"])) if "cursor" in values else query
