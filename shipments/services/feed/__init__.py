"""Built by the relay behind the writes: the numbered feed of each organisation and the audit chain."""
