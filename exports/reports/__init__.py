"""Reports: definitions, the parsed query, streaming, the formats, statistics and the REST views."""
