"""What HTTP asks of every view: bodies and fields, errors, conditional requests, Idempotency-Key, long polls."""
