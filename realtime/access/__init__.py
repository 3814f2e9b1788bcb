"""Who may connect and for how long: authentication of sockets and streams, and revocation of living ones."""
