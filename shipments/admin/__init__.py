"""The admin site's pages: lists that stay fast at a million rows, changes through the services alone."""

from shipments.admin import accounts, parties, records, shipments, tracking

__all__ = ["accounts", "parties", "records", "shipments", "tracking"]
