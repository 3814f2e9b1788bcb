"""Shipments by the exact text of one of their references, such as a purchase order."""

import uuid
from typing import Final

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import F, Value

from shipments.querysets import EqualsAny, ShipmentQuerySet, Viewer
from shipments.selectors import shipments as selectors

_MAX_KEYS: Final = 500
_AT_MOST: Final = "WITH matching AS MATERIALIZED ({}) SELECT * FROM matching LIMIT %s"


def filter_by_reference(rows: ShipmentQuerySet, viewer: Viewer, name: str, text: str) -> ShipmentQuerySet:
    """Return the rows whose reference of this name is the text, or has it among several. Runs one query.

    Few shipments are selected by id; many are soon met on a scan of the list.
    """
    keys = _fetch_keys(selectors.visible_shipments(viewer).with_other_reference(name, text))
    if len(keys) > _MAX_KEYS:
        return rows.with_other_reference(name, text)
    return rows.filter(EqualsAny(F("pk"), Value(keys))) if keys else rows.none()


def _fetch_keys(matching: ShipmentQuerySet) -> list[uuid.UUID]:
    """Return the ids of the shipments, at most _MAX_KEYS + 1.

    A plan made for any value takes each of them for common: it would scan the table for the first 500. The CTE is
    planned as if all rows were wanted, which the index of references answers.
    """
    try:
        sql, params = matching.order_by().values("pk").query.sql_with_params()
    except EmptyResultSet:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_AT_MOST.format(sql), [*params, _MAX_KEYS + 1])
        return [key for (key,) in cursor.fetchall()]
