"""The commands of `manage.py`; each prints JSON or one sentence."""
