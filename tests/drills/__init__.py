"""Experiments on real processes (`manage.py drill`): each injects faults, checks a promise and prints evidence."""
