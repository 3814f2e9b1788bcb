"""The writers of a dataset, one module per format: CSV, JSON, XLSX and PDF."""
