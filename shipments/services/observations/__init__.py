"""Observations: what carriers, drivers and systems report is recorded, judged, corrected and voided."""
