"""The way in: shipments out of a stranger's CSV or XLSX, judged row by row and applied through the services."""
