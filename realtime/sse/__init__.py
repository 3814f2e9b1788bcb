"""Server-Sent Events: the same rooms as sockets, for clients that cannot use WebSockets."""
