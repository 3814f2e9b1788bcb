"""What happened in the whole organisation: the feed of events and the audit log."""
