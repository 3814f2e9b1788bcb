"""Imports of shipments from CSV and XLSX: each row is validated by itself and applied through the services."""
