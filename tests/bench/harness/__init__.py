"""What every benchmark uses: its database and its goals."""
