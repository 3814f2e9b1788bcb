"""Background jobs shared by exports and imports, and the background exports with their files."""
