"""The `manage.py` commands of the realtime app."""
