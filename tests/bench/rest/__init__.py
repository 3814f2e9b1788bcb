"""The peers of the REST bench: what others would have built on the same tables."""
