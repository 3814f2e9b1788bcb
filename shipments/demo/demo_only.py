"""Where demo data may go: an installation that says it is a demo, in a database that holds nothing else.

The demo's accounts have a public password, and one of them is a superuser. Tests, drills and benchmarks call
`seed.seed` themselves, on databases of their own.
"""

from django.conf import settings
from django.core.management.base import CommandError

from shipments.demo.seed import RIVAL_SLUG, SLUG
from shipments.models import Organization


def require_demo(command: str) -> None:
    """Raise CommandError unless this installation is a demo; nothing overrides it."""
    if not settings.DEMO:
        raise CommandError(
            f"{command} is for a demo only and changed nothing: DEMO is off here, and the demo's accounts, one of"
            " them a superuser, have a public password."
        )


def require_no_other_organization() -> None:
    """Raise CommandError where the database holds an organisation that is not the demo's."""
    other = Organization.objects.exclude(slug__in=(SLUG, RIVAL_SLUG)).order_by("created_at").first()
    if other is not None:
        raise CommandError(
            f"This database holds the organisation {other.name!r} and no demo, so nothing was loaded: start this"
            " installation with DEMO=0, or use an empty database."
        )
