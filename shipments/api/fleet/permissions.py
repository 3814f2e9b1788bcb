"""What a view of one driver demands of the caller."""

import uuid

from rest_framework.request import Request

from shipments.api.authentication import subject_of
from shipments.auth.subjects import Subject
from shipments.selectors import parties
from shipments.services import DriverNotFound


def require_visible_driver(request: Request, driver_id: uuid.UUID) -> Subject:
    """Return the caller; raises DriverNotFound where it may not see the driver."""
    subject = subject_of(request)
    if parties.driver(subject, driver_id) is None:
        raise DriverNotFound(str(driver_id))
    return subject


def require_device_admin(request: Request, driver_id: uuid.UUID) -> Subject:
    """Return the caller, who manages the driver's device keys; raises DriverNotFound, Forbidden."""
    subject = require_visible_driver(request, driver_id)
    subject.require("devices:write")
    return subject
