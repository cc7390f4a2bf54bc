"""Where temporary files are made: nobody else may move or replace them."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from backend.errors import TemporaryFolderUnsafe


def check_temporary_folder(folder: Path | None = None) -> None:
    """Our folders in it are closed to others; the folder itself has to be such that they stay ours. A volume that is
    mounted there is a container's own, whose mode Kubernetes does not let anybody choose. Raises
    TemporaryFolderUnsafe."""
    folder = folder or Path(tempfile.gettempdir())
    if folder.is_mount():
        return
    status = folder.stat()
    open_to_others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not status.st_mode & stat.S_ISVTX
    if open_to_others or status.st_uid not in (0, os.geteuid()):
        raise TemporaryFolderUnsafe(
            f"Other users could replace what is in the temporary folder {folder}: set TMPDIR to a folder of this user, "
            "or give it the sticky bit (chmod +t)."
        )
