"""The WebSocket protocol: handshake, frames, and flow control in both directions."""
