"""Names of rooms (as clients know them) and of groups (as the channel layer knows them), one function each."""

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from shipments.domain.identifiers import REFERENCE_PATTERN

# The organisation's feed: the one room whose name has no key of its own.
FEED: Final = "shipments:all"
# Behind the group of a room whose members see the variant `restricted`: a room of its own for the same hints. In
# lower case, so that no reference ends like it.
RESTRICTED_SUFFIX: Final = ".restricted"
# Every process subscribes to this group: it carries what concerns accounts rather than rooms.
CONTROL_GROUP: Final = "control"
# Says which logs have grown, to those that wait for one: the relay's sequencer and long polls.
COMMITS_GROUP: Final = "commits"


@dataclass(frozen=True, slots=True)
class RoomName:
    """A room that exists: its type, the primary key of its subject, its public name and its group.

    `key` is the id of a shipment, organisation, driver, export or import. `name` has the stored spelling of a
    reference, whatever case the client used. Two rooms may have one name: that of a shipment, for staff and
    restricted (`RESTRICTED_SUFFIX`).
    """

    type_name: str
    key: uuid.UUID
    name: str
    group: str

    @property
    def identifier(self) -> str:
        """The part of the name behind the type: a reference, an id or `all`."""
        return self.name.partition(":")[2]

    @property
    def is_restricted(self) -> bool:
        """Whether its members see the variant `restricted`."""
        return self.group.endswith(RESTRICTED_SUFFIX)

    @property
    def hint_group(self) -> str:
        """The group of the channel layer to which its hints are published."""
        return self.group.removesuffix(RESTRICTED_SUFFIX)


def shipment_room(reference: str) -> str:
    """Return the public name of a shipment's room."""
    return f"shipment:{reference}"


def shipment_group(organization_id: uuid.UUID, reference: str) -> str:
    """Return the group of a shipment's room: organisation first, at most 96 characters.

    Channels allows letters, digits, `-`, `_` and `.` in a group name, and fewer than 100 of them. So the
    organisation is written as 22 characters of base64url, and dots stand for colons.
    """
    key = base64.urlsafe_b64encode(organization_id.bytes).rstrip(b"=").decode()
    return f"shipment.{key}.{reference.upper()}"


def feed_group(organization_id: uuid.UUID) -> str:
    """Return the group of an organisation's feed."""
    return f"feed.{organization_id}"


def driver_group(driver_id: uuid.UUID) -> str:
    """Return the group of a driver's positions."""
    return f"driver.{driver_id}"


def export_group(export_id: uuid.UUID) -> str:
    """Return the group of a background export's progress."""
    return f"export.{export_id}"


def import_group(import_id: uuid.UUID) -> str:
    """Return the group of an import's progress."""
    return f"import.{import_id}"


def parse_room(frame: Mapping[str, object]) -> tuple[str, str] | None:
    """Return the room type and key that a join or leave frame names, None where the name is malformed.

    The room need not exist: `room_registry.find` looks it up.
    """
    room = frame.get("room")
    if "shipmentId" in frame and room is None:
        room = f"shipment:{frame['shipmentId']}" if isinstance(frame["shipmentId"], str) else None
    if not isinstance(room, str):
        return None
    name, _, key = room.partition(":")
    valid = REFERENCE_PATTERN.fullmatch(key) if name == "shipment" else room == FEED or _is_uuid(key)
    return (("feed", key) if room == FEED else (name, key)) if valid else None


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
