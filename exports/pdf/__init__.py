"""PDF reports and documents: layout, charts and barcodes. The drawing runs in `exports.sandbox`."""
