"""The file that `-o` names: looked at before any work starts, written whole at its end."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backend.errors import InvalidRequest, OutputUnwritable
from backend.kinds.output_type import OutputType
from backend.storage.base import Source
from backend.storage.files import temporary_file

TRIAL_BYTES = 1024 * 1024
COPY_BYTES = 8 * 1024 * 1024


def check_output(output: Path, source: Path | None, wanted: OutputType) -> None:
    """Raises InvalidRequest for a container that the kind cannot write or for the source itself, OutputUnwritable for a
    place that takes no file. Leaves nothing behind."""
    wanted.check_name(output.name, str(output))
    with _told(output):
        if source is not None and _is_same(output, source):
            raise InvalidRequest(f"{output} is the input itself, which is never overwritten: give another -o.")
        target = _target(output)
        with temporary_file(_nearest_folder(target)) as trial:
            trial.write(bytes(TRIAL_BYTES))
            trial.flush()
            os.fsync(trial.fileno())


def write_film(output: Path, film: Source) -> Path:
    """Copies the film into a file that then takes the place of `output`; returns where it is.

    Raises OutputUnwritable, and what reading the film raises.
    """
    with _told(output):
        target = _target(output)
        target.parent.mkdir(parents=True, exist_ok=True)
        # A short name of its own: the film's may be as long as a name can be.
        with temporary_file(target.parent) as part:
            for offset in range(0, film.info.size_bytes, COPY_BYTES):
                part.write(film.read_at(offset, COPY_BYTES))
            part.flush()
            os.replace(part.name, target)
    return target


def _target(output: Path) -> Path:
    """Where links lead to. Raises OutputUnwritable for what is there and is no file: a device, a pipe."""
    try:
        target = output.resolve()
    except RuntimeError:
        raise OutputUnwritable(f"{output} is a link that leads to itself: give another -o.") from None
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return target
    if not stat.S_ISREG(mode):
        raise OutputUnwritable(f"{output} is there already and is no file: give another -o.")
    return target


def _nearest_folder(target: Path) -> Path:
    """The folder that the file, or the first of its missing folders, goes into."""
    folder, missing = target.parent, [target.name]
    while not folder.exists():
        missing.append(folder.name)
        folder = folder.parent
    # What does not exist yet says nothing of names that the file system will not take.
    if any(len(os.fsencode(name)) > os.pathconf(folder, "PC_NAME_MAX") for name in missing):
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    return folder


def _is_same(output: Path, source: Path) -> bool:
    try:
        return output.samefile(source)
    except FileNotFoundError:
        return False


@contextmanager
def _told(output: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputUnwritable(
            f"{output} cannot be written ({error.strerror}): give -o a place with room that you may write to."
        ) from error
