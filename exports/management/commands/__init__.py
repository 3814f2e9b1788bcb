"""Management commands of exports and imports."""
