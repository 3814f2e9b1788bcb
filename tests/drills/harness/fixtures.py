"""What several drills begin with: an organisation of their own, its dispatchers, and waiting for a condition."""

import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from shipments.auth import subjects
from shipments.auth.subjects import Subject
from shipments.models import Membership, Organization, User


def organization() -> Organization:
    """Store an organisation that no other drill knows."""
    slug = f"drill-{uuid.uuid4().hex[:12]}"
    return Organization.objects.create(name="Drill", slug=slug, created_at=datetime.now(UTC))


def dispatcher(organization: Organization) -> Subject:
    """Store a dispatcher of an organisation, who cannot log in."""
    user = User(email=f"drill-{uuid.uuid4().hex[:12]}@drill.test", name="Drill")
    user.set_unusable_password()
    user.save()
    Membership.objects.create(user=user, organization=organization, role="dispatcher")
    by = subjects.subject_of_user(user)
    if by is None:
        raise RuntimeError("A fresh member is nobody.")
    return by


def wait_for(condition: Callable[[], Any], seconds: float) -> None:
    """Wait until a condition holds; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("The drill waited in vain.")
        time.sleep(0.02)
