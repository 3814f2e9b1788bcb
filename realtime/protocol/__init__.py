"""The socket protocol `freight.v1`: frames and their schemas, close codes, room names. No input or output."""
