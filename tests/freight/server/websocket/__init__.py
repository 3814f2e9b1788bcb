"""Tests of `freight.server.websocket`."""
