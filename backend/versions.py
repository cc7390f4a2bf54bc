"""What the rows and objects of a job look like, as one number, so that old and new workers can share a queue."""

from __future__ import annotations

# Raised with every change that an older worker cannot read: a parameter, a field of the probe's facts or of a chunk's
# artifact. Workers claim only jobs up to their own; a test compares the shapes with the number.
SCHEMA_VERSION = 7
