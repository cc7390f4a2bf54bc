"""A piece of a film as one file: a tar archive of

    piece.json      PieceFacts
    packets.npy     int64 rows (PTS, DTS, duration) of the picture's packets in decode order, on the source's clock
    video.mp4       those packets, and the parameters of their codec; its own times mean nothing
    companions      the source's packets of sound and subtitles: packet_file.py
    stills.npy      uint8 (stills, height, width, 3), BGR
    head            of the first piece only: the bytes that opening the source read, see head.py

Written to a folder beside first, so that nothing of it has to be in memory. Child process only.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Any, BinaryIO, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from backend.errors import ArtifactCorrupt
from backend.media.sieve import Edge

FACTS, PACKETS, VIDEO, COMPANIONS, STILLS, HEAD = (
    "piece.json",
    "packets.npy",
    "video.mp4",
    "companions",
    "stills.npy",
    "head",
)


class PieceFacts(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    encoder: str
    time_base: tuple[int, int]
    fps: tuple[int, int]
    counts: dict[str, int]  # what was broken or left out, as rendering counts it
    edges: dict[int, Edge]  # by the index of the stream of sound
    stills_pts: list[int]
    source_bytes: int
    head: list[tuple[int, int]]  # offset in the source and length of each range


class PieceWriter:
    """Files for the parts of a piece; `finish` makes one of them. Use as a context manager: leaving it removes them."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="framefleet-piece-")
        self.video_file = str(self._part(VIDEO))
        self.companions: IO[bytes] = self._part(COMPANIONS).open("wb")

    def finish(
        self,
        output_file: str,
        facts: PieceFacts,
        packets: NDArray[np.int64],
        stills: NDArray[np.uint8],
        head: list[tuple[int, bytes]],
    ) -> None:
        """`video_file` has to be whole by now."""
        self.companions.close()
        facts = facts.model_copy(update={"head": [(offset, len(data)) for offset, data in head]})
        with tarfile.open(output_file, "w", format=tarfile.GNU_FORMAT) as archive:
            _add(archive, FACTS, facts.model_dump_json().encode())
            _add(archive, PACKETS, _npy(packets))
            _add(archive, STILLS, _npy(stills))
            _add(archive, HEAD, b"".join(data for _, data in head))
            for name in (COMPANIONS, VIDEO):
                with self._part(name).open("rb") as part:
                    archive.addfile(_member(name, self._part(name).stat().st_size), part)

    def _part(self, name: str) -> Path:
        return Path(self._folder.name) / name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.companions.close()
        self._folder.cleanup()


class Piece:
    """A piece that was written. Raises ArtifactCorrupt for a file that is none. Use as a context manager."""

    def __init__(self, file: str) -> None:
        try:
            self._archive = tarfile.open(file, "r:")  # noqa: SIM115 - closed with this object
            self.facts = PieceFacts.model_validate(json.loads(self._bytes(FACTS)))
            table = np.load(io.BytesIO(self._bytes(PACKETS)), allow_pickle=False)
        except (tarfile.TarError, ValidationError, ValueError, EOFError) as error:
            raise ArtifactCorrupt("A piece of the film is no piece, or of another version.") from error
        self.packets: NDArray[np.int64] = table.astype(np.int64).reshape(-1, 3)

    @property
    def time_base(self) -> Fraction:
        return Fraction(*self.facts.time_base)

    def video(self) -> BinaryIO:
        return self._open(VIDEO)

    def companions(self) -> BinaryIO:
        return self._open(COMPANIONS)

    def stills(self) -> NDArray[np.uint8]:
        stills: NDArray[Any] = np.load(io.BytesIO(self._bytes(STILLS)), allow_pickle=False)
        return stills.astype(np.uint8, copy=False)

    def head(self) -> list[tuple[int, bytes]]:
        kept = io.BytesIO(self._bytes(HEAD))
        return [(offset, kept.read(length)) for offset, length in self.facts.head]

    def _open(self, name: str) -> BinaryIO:
        try:
            member = self._archive.extractfile(name)
        except KeyError as error:
            raise ArtifactCorrupt(f"A piece of the film lacks its {name}.") from error
        if member is None:
            raise ArtifactCorrupt(f"A piece of the film has a {name} that is no file.")
        return cast(BinaryIO, member)

    def _bytes(self, name: str) -> bytes:
        with self._open(name) as member:
            return member.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._archive.close()


def _npy(array: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _member(name: str, size_bytes: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size_bytes
    return member


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    archive.addfile(_member(name, len(data)), io.BytesIO(data))
