"""The fast path: an ASGI application that answers the two hottest reads before Django's middleware and DRF."""
