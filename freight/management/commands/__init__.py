"""`manage.py` serve, relay, up, build_map and drill."""
