"""The product's sample clip for tests: each length is made once and copied from then on."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from backend.local import sample

KEPT = Path(__file__).resolve().parents[1] / ".pytest_cache" / "samples"


def make_sample(path: Path, seconds: int) -> Path:
    """As the product's `make_sample`."""
    kept = KEPT / f"{_version()}-{seconds}s.mp4"
    if not kept.exists():
        mine = kept.with_name(f"{kept.name}.{os.getpid()}")  # another test process may make the same
        sample.make_sample(mine, seconds=seconds).replace(kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(kept, path)
    return path


def _version() -> str:
    made_from = (Path(sample.__file__), sample.PHOTO)
    return hashlib.sha256(b"".join(file.read_bytes() for file in made_from)).hexdigest()[:16]
