"""WebSocket connections: the consumer, its identity and rooms, and the limits of sockets."""
