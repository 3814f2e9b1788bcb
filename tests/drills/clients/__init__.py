"""Clients of the drills: HTTP, WebSocket, writers and subscribers."""
