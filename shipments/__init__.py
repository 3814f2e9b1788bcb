"""The domain: shipments, their log, the people and parties around them."""
