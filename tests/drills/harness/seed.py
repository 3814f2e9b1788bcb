"""What a fault stage's database holds before the first scenario: tables, one organisation, members with keys."""

import json
from pathlib import Path
from typing import Final

from django.core.management import call_command
from django.db import connection, transaction

from tests.drills.harness import fixtures

# Sockets are limited by user.
DISPATCHERS: Final = 30
_SCOPES: Final = ("shipments:read", "shipments:write")


def seed(target: Path) -> None:
    """Create the tables and the organisation, and write its credentials into a file of mode 0600.

    The file holds the fields of `product_stage.Seeded`. It appears whole or not at all.
    """
    call_command("migrate", verbosity=0, interactive=False)
    with transaction.atomic():
        fixtures.locations()
        organization = fixtures.organization()
        keys = [fixtures.dispatcher_with_key(organization, _SCOPES)[1] for _ in range(DISPATCHERS)]
        administrator_login = fixtures.administrator(organization)
    connection.close()
    contents = {
        "organization": str(organization.pk),
        "api_keys": keys,
        "administrator_login": administrator_login,
    }
    temporary = target.with_suffix(".new")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(contents))
    temporary.rename(target)
