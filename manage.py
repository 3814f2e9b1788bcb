#!/usr/bin/env python
"""Freight's command line."""

import os
import signal
import sys


def main() -> None:
    """Run one management command; what an operator can mend is told in a sentence."""
    # Until the command runs, Ctrl-C has nothing to clean up and ends the process without a traceback.
    on_interrupt = signal.getsignal(signal.SIGINT)
    if on_interrupt is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "freight.settings")
    from django.core.management import execute_from_command_line  # after the variable is set

    from freight import command_line

    signal.signal(signal.SIGINT, on_interrupt)
    command_line.run(lambda: execute_from_command_line(sys.argv), traceback="--traceback" in sys.argv)


if __name__ == "__main__":
    main()
