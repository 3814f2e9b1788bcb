"""Drivers, the positions that they report, and the device keys of their phones."""
