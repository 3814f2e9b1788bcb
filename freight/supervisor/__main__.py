"""Starts everything and stays until it is told to stop."""

import os
import signal
import sys

from freight.supervisor import startup


def main() -> int:
    """Run the whole product on one port; returns an exit status."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback for who changes their mind at once
    try:
        instance = startup.start_instance()
    except startup.InstanceAlreadyRunning as notice:
        print(notice)
        return 0
    except startup.StartupError as refusal:
        print(refusal, file=sys.stderr)
        return 1
    # From here on settings are read and Django loads; both need what `begin` put into the environment.
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "freight.settings")
    import django
    from django.core.exceptions import ImproperlyConfigured

    try:
        django.setup()
    except ImproperlyConfigured as refusal:
        print(refusal, file=sys.stderr)
        instance.release()
        return 1
    from freight.supervisor import supervise  # needs settings

    return supervise.run(instance)


if __name__ == "__main__":
    sys.exit(main())
