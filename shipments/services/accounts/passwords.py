"""Passwords: checked and hashed without a transaction and without a database connection."""

from dataclasses import dataclass, field

from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from monitoring.dependencies.connections import release_connection
from shipments.auth.password_hashers import HashingBusy
from shipments.models import User
from shipments.services.validation import InvalidArgument

__all__ = ["HashedPassword", "HashingBusy", "check", "hash_new"]


@dataclass(frozen=True, slots=True)
class HashedPassword:
    """A validated and hashed password, as it is stored."""

    encoded: str = field(repr=False)


def check(user: User | None, password: str) -> bool:
    """Tell whether this is the user's password; it takes as long for None and for an unusable password.

    A right one whose hash has older parameters is hashed and stored anew. Call it outside of a transaction; raises
    HashingBusy.
    """
    release_connection()
    if user is None:
        make_password(password)
        return False
    is_outdated: list[str] = []
    if not check_password(password, user.password, setter=is_outdated.append):
        return False
    return _upgrade(user, password) if is_outdated else True


def hash_new(password: str, user: User) -> HashedPassword:
    """Validate a new password of a user and hash it, outside of a transaction.

    Raises InvalidArgument where it is too weak, HashingBusy.
    """
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidArgument("password", " ".join(error.messages)) from error
    release_connection()
    return HashedPassword(make_password(password))


def _upgrade(user: User, password: str) -> bool:
    """Store the right password with today's parameters; False where it was changed meanwhile."""
    try:
        encoded = make_password(password)
    except HashingBusy:
        return True  # the next login does it
    if User.objects.filter(pk=user.pk, password=user.password).update(password=encoded):
        user.password = encoded
        return True
    # Somebody has changed it, or another login was quicker.
    user.refresh_from_db(fields=["password"])
    release_connection()
    return check_password(password, user.password)
