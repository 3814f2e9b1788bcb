"""The peer of the fan-out bench: Channels as its tutorial teaches it, one group membership and message a socket."""
