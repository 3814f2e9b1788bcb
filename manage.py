#!/usr/bin/env python
"""Freight's command line."""

import os
import sys


def main() -> None:
    """This will run one management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "freight.settings")
    from django.core.management import execute_from_command_line  # after the variable is set

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
