"""The accounts of the demo data: one list for the seed, the login page and the terminal's summary."""

from dataclasses import dataclass
from typing import Final

from shipments.models import Role

PASSWORD: Final = "freight-demo"  # noqa: S105  public: the login page shows it


@dataclass(frozen=True, slots=True)
class Account:
    """One login. `title` and `summary` describe it on the login page; staff are also superusers."""

    email: str
    name: str
    role: Role
    title: str
    summary: str
    staff: bool = False


# In the order of creation: the seed draws ids from its random numbers in turn.
DEMO_ACCOUNTS: Final = (
    Account("admin@demo.test", "Ada Lindqvist", Role.ADMIN, "Administrator", "everything, and /admin", staff=True),
    Account("dispatcher@demo.test", "Dani Okonkwo", Role.DISPATCHER, "Dispatcher", "runs the shipments"),
    Account("driver@demo.test", "Amara Okafor", Role.DRIVER, "Driver", "its own assignments"),
    Account("customer@demo.test", "Nora Winter", Role.CUSTOMER, "Customer", "its account's freight"),
    Account("auditor@demo.test", "Aurel Ionescu", Role.AUDITOR, "Auditor", "reads everything"),
)
RIVAL_ACCOUNTS: Final = (
    Account("dispatcher@rival.test", "Remy Duval", Role.DISPATCHER, "Rival dispatcher", "another organisation"),
)
ACCOUNTS: Final = DEMO_ACCOUNTS + RIVAL_ACCOUNTS
