"""The live side of Freight: hints through Redis, the hub of each process, WebSockets and Server-Sent Events."""
