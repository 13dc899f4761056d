"""The fault sweep: load, faults, an independent check."""
