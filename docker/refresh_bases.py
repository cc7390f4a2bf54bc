"""Brings every pinned image up to what its tag names now: `make image-bases`. Needs docker with buildx, and network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PINNED = re.compile(r"(?P<image>[\w./-]+:[\w.-]+)@(?P<digest>sha256:[0-9a-f]{64})")


class LookupFailed(Exception):
    """The registry did not say."""


def main(folder: Path = FOLDER) -> int:
    try:
        texts = {path: _refreshed(path.read_text()) for path in (folder / "Dockerfile", folder / "compose.yaml")}
    except LookupFailed as failure:
        print(failure, file=sys.stderr)  # noqa: T201 - a command's own words
        return 1
    for path, text in texts.items():  # only now: all or none
        path.write_text(text)
    return 0


def _refreshed(text: str) -> str:
    return PINNED.sub(lambda pin: f"{pin['image']}@{_digest(pin['image'])}", text)


def _digest(image: str) -> str:
    """Of the index, which names the image for every architecture. Raises LookupFailed."""
    command = ["docker", "buildx", "imagetools", "inspect", image, "--format", "{{.Manifest.Digest}}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as missing:
        raise LookupFailed("docker is not installed: the digests stay as they are.") from missing
    digest = done.stdout.strip()
    if done.returncode != 0 or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise LookupFailed(f"{image}: its registry gives no digest. {done.stderr.strip()}")
    return digest


if __name__ == "__main__":
    sys.exit(main())
