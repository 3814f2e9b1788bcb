"""Authentication of API requests: a bearer token or API key, else the session of a page with its CSRF token.

Sessions store the path of `MemberBackend`, so neither this module nor the class can move or be renamed.
"""

import uuid
from typing import Any

from django.contrib.auth.backends import ModelBackend
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, PermissionDenied
from rest_framework.request import Request

from monitoring import clock
from shipments.auth import bearers, subjects
from shipments.auth.request_origin import with_request_origin
from shipments.auth.subjects import Subject
from shipments.models import User

BAD_CREDENTIALS = "The credentials are missing, wrong or no longer good."


class MemberBackend(ModelBackend):
    """Loads the user of a session with its membership: one query instead of two."""

    def get_user(self, user_id: Any) -> User | None:
        """Return the active user, None for an unknown id or an inactive user."""
        try:
            key = uuid.UUID(str(user_id))
        except ValueError:
            return None
        user = User.objects.select_related("membership").filter(pk=key).first()
        return user if user is not None and self.user_can_authenticate(user) else None


class SubjectAuthentication(BaseAuthentication):
    """Sets `request.auth` to the Subject, and `subject` of Django's request for limiter and logs."""

    def authenticate(self, request: Request) -> tuple[Any, Subject] | None:
        """Return `(user, subject)`, None without credentials; raises AuthenticationFailed for invalid ones."""
        token = _bearer(request)
        subject = _subject_of_session(request) if token is None else bearers.authenticate(token, now=clock.now())
        if subject is None:
            if token is None:
                return None
            raise AuthenticationFailed(BAD_CREDENTIALS)
        subject = with_request_origin(subject, request)
        request._request.subject = subject  # type: ignore[attr-defined]  # noqa: SLF001  read by limiter and logs
        return SubjectUser(subject), subject

    def authenticate_header(self, request: Request) -> str:
        """Return the scheme; with one, DRF answers 401 and not 403."""
        return 'Bearer realm="freight"'


class SubjectUser:
    """The `request.user` of the API: just what DRF reads, all decisions read the subject."""

    is_authenticated = True
    is_active = True

    def __init__(self, subject: Subject) -> None:
        self.pk = subject.user_id
        self.is_staff = subject.is_staff
        self.name = subject.name

    def __str__(self) -> str:
        return self.name


def subject_of(request: Request) -> Subject:
    """Return the caller; raises NotAuthenticated for an anonymous request."""
    if isinstance(request.auth, Subject):
        return request.auth
    raise NotAuthenticated(BAD_CREDENTIALS)


def _bearer(request: Request) -> str | None:
    scheme, _, raw = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return raw.strip() if scheme.lower() == "bearer" else None


def _subject_of_session(request: Request) -> Subject | None:
    user = getattr(request._request, "user", None)  # noqa: SLF001  set by Django's authentication middleware
    if not isinstance(user, User):  # an AnonymousUser; the lazy wrapper of a User passes isinstance
        return None
    reason = _csrf_failure(request)
    subject = subjects.subject_of_user(user, session_key=request.session.session_key)
    if subject is not None and reason:
        raise PermissionDenied(f"The request could have been forged by another site: {reason}", code="cross_site")
    return subject


def _csrf_failure(request: Request) -> str | None:
    # DRF's CSRFCheck returns the reason; Django's middleware would return a page.
    check = CSRFCheck(lambda _: None)  # type: ignore[arg-type]  # no view behind it, as in SessionAuthentication
    django_request = request._request  # noqa: SLF001  as in DRF's own SessionAuthentication
    check.process_request(django_request)
    reason = check.process_view(django_request, None, (), {})  # type: ignore[arg-type]  # no view, as above
    return None if reason is None else str(reason)
