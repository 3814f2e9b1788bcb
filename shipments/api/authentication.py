"""Who calls the API: a bearer token or API key, else the session of a page with its CSRF token."""

import uuid
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, CSRFCheck
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, PermissionDenied
from rest_framework.request import Request

from shipments.auth import bearers, subjects
from shipments.auth.request_origin import with_request_origin
from shipments.auth.subjects import Subject
from shipments.models import User

BAD_CREDENTIALS = "The credentials are missing, wrong or no longer good."


class MemberBackend(ModelBackend):
    """Loads the user of a session together with its membership: one query instead of two."""

    def get_user(self, user_id: Any) -> User | None:
        """Return the active user, None where there is none."""
        try:
            key = uuid.UUID(str(user_id))
        except ValueError:
            return None
        user = User.objects.select_related("membership").filter(pk=key).first()
        return user if user is not None and self.user_can_authenticate(user) else None


class SubjectAuthentication(BaseAuthentication):
    """Puts the Subject at `request.auth` (and the bare request's `subject`, for limiter and logs)."""

    def authenticate(self, request: Request) -> tuple[Any, Subject] | None:
        """Return `(user, subject)`, None where nobody says who it is; raises AuthenticationFailed."""
        token = _bearer(request)
        subject = _subject_of_session(request) if token is None else bearers.authenticate(token, now=timezone.now())
        if subject is None:
            if token is None:
                return None
            raise AuthenticationFailed(BAD_CREDENTIALS)
        subject = with_request_origin(subject, request)
        request._request.subject = subject  # type: ignore[attr-defined]
        return SubjectUser(subject), subject

    def authenticate_header(self, request: Request) -> str:
        """Name the scheme, which makes a refusal 401 and not 403."""
        return 'Bearer realm="freight"'


class SubjectUser:
    """The `request.user` of the API: enough for DRF, while all decisions read the subject."""

    is_authenticated = True
    is_active = True

    def __init__(self, subject: Subject) -> None:
        self.pk = subject.user_id
        self.is_staff = subject.is_staff
        self.name = subject.name

    def __str__(self) -> str:
        return self.name


def subject_of(request: Request) -> Subject:
    """Return who calls; raises NotAuthenticated where nobody does."""
    if isinstance(request.auth, Subject):
        return request.auth
    raise NotAuthenticated(BAD_CREDENTIALS)


def _bearer(request: Request) -> str | None:
    scheme, _, raw = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    return raw.strip() if scheme.lower() == "bearer" else None


def _subject_of_session(request: Request) -> Subject | None:
    user = getattr(request._request, "user", None)
    if not isinstance(user, User):
        # Django hands out a lazy wrapper: it passes isinstance once it is a user.
        return None
    reason = _csrf_failure(request)
    subject = subjects.subject_of_user(user, session_key=request._request.session.session_key)
    if subject is not None and reason:
        raise PermissionDenied(f"The request could have been forged by another site: {reason}")
    return subject


def _csrf_failure(request: Request) -> str | None:
    # DRF's check answers with the reason where Django's own would answer with a page.
    check = CSRFCheck(lambda _: None)  # type: ignore[arg-type]
    check.process_request(request._request)
    reason = check.process_view(request._request, None, (), {})  # type: ignore[arg-type]
    return None if reason is None else str(reason)
