"""Who the keys of rate limits belong to, for staff: an API key's or an account's id says nothing to a person."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Final

from shipments.models import ApiKey, User

_USER_KINDS: Final = frozenset({"user", "keys"})


def owners(keys: Iterable[str]) -> Mapping[str, str]:
    """Return who the keys belong to, by key as it is shown (`user:…`, `key:…`, `keys:…`): two queries.

    Addresses, links and what does not exist any more are left out.
    """
    ids = {key: _identifier(key) for key in keys}
    of_keys = {value for key, value in ids.items() if value and key.startswith("key:")}
    of_users = {value for key, value in ids.items() if value and key.partition(":")[0] in _USER_KINDS}
    api_keys = {row.pk: row for row in ApiKey.objects.filter(pk__in=of_keys).select_related("user", "organization")}
    users = {row.pk: row for row in User.objects.filter(pk__in=of_users).select_related("membership__organization")}
    names: dict[str, str] = {}
    for key, value in ids.items():
        if value in api_keys and key.startswith("key:"):
            row = api_keys[value]
            names[key] = f"{row.name} of {row.user.email}, {row.organization.name}"
        elif value in users and not key.startswith("key:"):
            names[key] = _describe(users[value])
    return names


def _identifier(key: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(key.partition(":")[2])
    except ValueError:
        return None


def _describe(user: User) -> str:
    membership = getattr(user, "membership", None)
    return f"{user.email}, {membership.organization.name}" if membership else user.email
