"""The composition root: settings, server, pages, supervisor, and the wiring of the other apps."""
