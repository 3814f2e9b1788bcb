"""What embedded services refuse with: one sentence that says the mend."""


class EmbeddedError(RuntimeError):
    """An embedded service cannot run; the message says what to do."""
