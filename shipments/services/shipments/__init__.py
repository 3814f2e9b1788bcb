"""Use cases of shipments: booking, commands, observations, flags, proofs, imports and tracking links."""
