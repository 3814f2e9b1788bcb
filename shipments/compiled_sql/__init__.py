"""SQL that is compiled once for each shape and executed with other values: one shipment, lists, writes."""
