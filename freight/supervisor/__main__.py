"""Entry point of `python -m freight.supervisor`."""

import os
import signal
import sys

from freight.supervisor import startup


def main() -> int:
    """Run the whole product on one port until SIGTERM or Ctrl-C; returns an exit status."""
    signal.signal(
        signal.SIGINT, signal.SIG_DFL
    )  # before the handlers are installed Ctrl-C ends us without a traceback
    try:
        instance = startup.start_instance()
    except startup.InstanceAlreadyRunning as notice:
        print(notice)  # noqa: T201  for the terminal
        return 0
    except startup.StartupError as refusal:
        print(refusal, file=sys.stderr)  # noqa: T201  for the terminal
        return 1
    # Only now: the settings read the environment that `start_instance` has prepared.
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "freight.settings")
    import django
    from django.core.exceptions import ImproperlyConfigured

    try:
        django.setup()
    except ImproperlyConfigured as refusal:
        print(refusal, file=sys.stderr)  # noqa: T201  for the terminal
        instance.release()
        return 1
    from freight.supervisor import supervise  # it reads the settings

    return supervise.run(instance)


if __name__ == "__main__":
    sys.exit(main())
