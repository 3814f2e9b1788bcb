"""Door: reads. `shipments` answers synchronous callers, `live` the event loops of the hub and the streams."""
