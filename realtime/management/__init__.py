"""Management of the realtime app."""
