"""A bench of the WebSocket protocol alone."""
