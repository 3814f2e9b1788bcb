"""Lists and their queries: filters, search, the parsed `ListQuery` and keyset pages."""
