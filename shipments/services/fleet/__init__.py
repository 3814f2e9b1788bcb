"""Use cases of the fleet: drivers, their device keys, and the positions that they report."""
