"""A quick start of framefleet's own commands.

Importing them makes hundreds of thousands of objects that live as long as the process. The garbage collector would
walk these again and again while they become more, and once more when the process ends: a third of the processor time
that a start and an end cost. So it runs rarely until a command is imported, and leaves alone what is there by then.
"""

from __future__ import annotations

import gc
import sys
from pathlib import PurePath

NEW_OBJECTS = 1_000_000  # before the collector runs; importing makes fewer
_USUAL = gc.get_threshold()


def begin() -> None:
    """For `python -m backend…` and `framefleet` alone: whoever imports us as a library goes on as it likes."""
    # Python says "-m" there until it has found the module.
    started_as = sys.argv[0] if sys.argv else ""
    if started_as == "-m" or PurePath(started_as).name == "framefleet":
        gc.set_threshold(NEW_OBJECTS)


def imported() -> None:
    """The command is imported: from here on the collector runs as usual, and passes over all that there is by now."""
    if gc.get_threshold() != _USUAL:
        gc.freeze()
        gc.set_threshold(*_USUAL)
