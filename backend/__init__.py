"""framefleet: long videos cut into chunks, worked in parallel, joined into one result."""

from backend import quick_start

__version__ = "0.1.0"

quick_start.begin()
