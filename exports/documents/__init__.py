"""Documents of one shipment: bill of lading, shipping label and proof of delivery."""
