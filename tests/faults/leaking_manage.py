"""`manage.py` with a leak in it: every request or every socket leaves something behind."""

import os
import sys

_leaked: list[bytes] = []


def _install_leak(kind: str) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "freight.settings")
    import django

    django.setup(set_prefix=False)
    from django.http import HttpRequest
    from django.http.response import HttpResponseBase

    from monitoring.middleware import RequestContextMiddleware
    from realtime import metrics

    call, accepted = RequestContextMiddleware.__call__, metrics.socket_opened

    def leak_request(self: RequestContextMiddleware, request: HttpRequest) -> HttpResponseBase:
        _leaked.append(os.urandom(16 * 1024))
        return call(self, request)

    def leak_socket() -> None:
        _leaked.append(os.urandom(64 * 1024))
        accepted()

    if kind == "requests":
        RequestContextMiddleware.__call__ = leak_request  # type: ignore[method-assign]  # the leak that the drill must find
    else:
        metrics.socket_opened = leak_socket


if __name__ == "__main__":
    _install_leak(sys.argv.pop(1))
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
