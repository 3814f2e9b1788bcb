"""What Django looks for in a backend: the connection, here one that a pool may not keep waiting for ever."""

from typing import Any

from django.db.backends.postgresql import base

from monitoring import patience


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's own, but a wait for the pool counts as a wait for the database."""

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        """This will take a connection from the pool; raises at once where the request has given the database up."""
        with patience.checkout():
            return super().get_new_connection(conn_params)
