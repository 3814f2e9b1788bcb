"""`manage.py asyncapi`: prints the frame reference that docs/asyncapi.json holds."""

import json

from django.core.management.base import BaseCommand

from realtime.protocol.asyncapi import document


class Command(BaseCommand):
    """Prints the AsyncAPI document of the socket."""

    help = "Print the AsyncAPI 3 document of the WebSocket; docs/asyncapi.json holds it."
    requires_system_checks = ()

    def handle(self, *_: object, **__: object) -> None:
        """Print the document."""
        self.stdout.write(json.dumps(document(), indent=1, ensure_ascii=False))
