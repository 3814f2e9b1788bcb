"""The exception of the embedded services."""


class EmbeddedError(RuntimeError):
    """An embedded service cannot run; the message says what to do about it."""
