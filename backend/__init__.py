"""framefleet: long videos cut into chunks, worked in parallel, joined into one result."""

__version__ = "0.1.0"
