"""The peers and the client of the export bench."""
