"""What `make run` and `manage.py up` start: services, preparation, one process a role, nginx last.

`python -m freight.supervisor` is the fast way in: it begins to start the services before Django loads.
"""
