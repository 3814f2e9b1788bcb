"""The hub: brings every committed event to every member of its room, once and in order."""
