"""`make run` and `manage.py up`: embedded services, preparation steps, one process a role, nginx last.

`python -m freight.supervisor` is the entry point: it starts the services before it loads Django.
"""
