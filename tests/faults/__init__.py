"""The short form of the delivery, alerts and leak drills, as tests."""
