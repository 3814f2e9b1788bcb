"""Identifiers: UUIDv7 primary keys, and the syntax of shipment references."""

import re
import uuid

from uuid_utils.compat import uuid7

REFERENCE_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Path segments below /api/shipments that are no references.
RESERVED_REFERENCES = frozenset({"bulk", "export"})


def new_id() -> uuid.UUID:
    """Return a UUIDv7 (RFC 9562): ordered by time, so that new rows share index pages."""
    return uuid7()


def is_valid_reference(text: str) -> bool:
    """Tell whether the text may be the reference of a shipment."""
    return REFERENCE_PATTERN.fullmatch(text) is not None and text.lower() not in RESERVED_REFERENCES
