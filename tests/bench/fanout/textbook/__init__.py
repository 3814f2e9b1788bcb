"""The peer of the fan-out bench: Channels as in its tutorial, one group membership and message a socket."""
