"""Exports and imports: reports in several formats, documents of a shipment, and shipments from uploaded files."""
