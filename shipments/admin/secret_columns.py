"""The columns that no page filters, orders or searches by, nor shows: guessed at letter by letter, one is known."""

from collections.abc import Mapping
from typing import Final

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.constants import LOOKUP_SEP

# Every secret column of the installation, by model. A test compares this with the names of all columns.
SECRET_COLUMNS: Final[Mapping[str, frozenset[str]]] = {
    "sessions.Session": frozenset({"session_key", "session_data"}),
    "shipments.ApiKey": frozenset({"digest"}),
    "shipments.DeviceKey": frozenset({"digest"}),
    # What a refresh token states, but for its signature.
    "shipments.RefreshFamily": frozenset({"id", "generation"}),
    "shipments.SocketTicket": frozenset({"digest", "credential"}),
    "shipments.TrackingLink": frozenset({"digest"}),
    "shipments.User": frozenset({"password"}),
}


def names_secret(model: type[models.Model], path: str) -> bool:
    """Tell whether a path of the ORM (`user__password__startswith`) reads a secret column, however far.

    A relation to a model whose primary key is secret reads that key. A prefix `-` (descending) or `^`, `=`, `@`
    (search) is ignored; the first part that is no column begins the lookups and ends the path.
    """
    for part in path.lstrip("-^=@").split(LOOKUP_SEP):
        try:
            field = model._meta.pk if part == "pk" else model._meta.get_field(part)  # noqa: SLF001  Django's public name
        except FieldDoesNotExist:
            return False
        assert field is not None  # noqa: S101  every model has a primary key
        if _is_secret(model, field.name):
            return True
        if not field.is_relation or field.related_model is None:
            return False
        model = field.related_model
        key = model._meta.pk  # noqa: SLF001  as above
        if key is not None and _is_secret(model, key.name):
            return True
    return False


def secret_columns_of(model: type[models.Model]) -> frozenset[str]:
    """Return the names of the model's secret columns."""
    return SECRET_COLUMNS.get(model._meta.label, frozenset())  # noqa: SLF001  as above


def _is_secret(model: type[models.Model], column: str) -> bool:
    return column in secret_columns_of(model)
