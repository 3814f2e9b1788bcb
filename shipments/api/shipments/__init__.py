"""Shipments and their parts: events, checkpoints, flags, proof of delivery, tracking links, bulk changes."""
