"""Where a request comes from, noted on the subject that makes it: the audit keeps both."""

from typing import Any, Protocol

from monitoring import addresses
from shipments.auth.subjects import Subject


class HasMeta(Protocol):
    """A request of Django or of REST framework."""

    @property
    def META(self) -> dict[str, Any]: ...  # noqa: N802  # Django's name


def with_request_origin(subject: Subject, request: HasMeta) -> Subject:
    """Return the subject acting from the request's address, under its id."""
    return subject.with_request_origin(
        address=addresses.client_address(request.META), request_id=getattr(request, "request_id", "")
    )
