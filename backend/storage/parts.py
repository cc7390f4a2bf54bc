"""Objects that arrive in parts: what a store offers for them, and how one is cut."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from backend.storage.base import ObjectInfo, SignedPut

BLOCK_BYTES = 1024 * 1024
MAX_PARTS = 9_000  # S3 allows 10,000
_MIB = 2**20


@dataclass(frozen=True)
class Cut:
    """Parts are numbered from 1 and of one length; the last one is what is left."""

    size_bytes: int
    part_bytes: int

    @classmethod
    def of(cls, size_bytes: int, least_part_bytes: int) -> Cut:
        """Few enough parts for any store, each a whole number of MiB where they have to be larger than asked."""
        needed = -(-size_bytes // MAX_PARTS)
        return cls(size_bytes, max(least_part_bytes, -(-needed // _MIB) * _MIB if needed > least_part_bytes else 0))

    @property
    def parts(self) -> int:
        return -(-self.size_bytes // self.part_bytes)

    def offset_of(self, number: int) -> int:
        return (number - 1) * self.part_bytes

    def length_of(self, number: int) -> int:
        return min(self.part_bytes, self.size_bytes - self.offset_of(number))


@dataclass(frozen=True)
class Part:
    """A part that is there. `sha256`, in hex, is None where the store keeps none; `etag` is the store's own."""

    number: int
    size_bytes: int
    sha256: str | None
    etag: str = ""


@dataclass(frozen=True)
class Begun:
    """`handle` is the store's name of the unfinished object. `checks_parts`: it takes no part without a SHA-256."""

    handle: str
    checks_parts: bool


class PartStore(Protocol):
    """Where an object grows part by part, seen by nobody until it is whole. Every method raises StorageError."""

    least_part_bytes: int

    def check_room(self, size_bytes: int, floor_bytes: int) -> None:
        """Raises StorageFull where less than the floor would be left."""
        ...

    def begin(self, key: str, cut: Cut, *, checks_parts: bool, floor_bytes: int) -> Begun:
        """Raises StorageFull."""
        ...

    def alone(self, key: str, handle: str, cut: Cut, number: int | None = None) -> AbstractContextManager[None]:
        """While it lasts, nobody else writes this part, or, without a number, any part. Raises UploadBusy, and
        ObjectNotFound where there is no such unfinished object."""
        ...

    def sign(
        self, key: str, handle: str, cut: Cut, number: int, *, sha256: str | None, expires_sec: int
    ) -> SignedPut | None:
        """A link that takes this one part, in its length and with that SHA-256; None where the API takes it."""
        ...

    def write(
        self, key: str, handle: str, cut: Cut, number: int, stream: BinaryIO, *, sha256: str | None, floor_bytes: int
    ) -> Part:
        """Exactly the part's bytes. Raises InvalidRequest for fewer, ChecksumMismatch, StorageFull, ObjectNotFound."""
        ...

    def stored(self, key: str, handle: str) -> list[Part] | None:
        """By number; None: whoever called `write` has to remember. Raises ObjectNotFound."""
        ...

    def finish(self, key: str, handle: str, cut: Cut, parts: list[Part], *, sha256: str | None) -> ObjectInfo:
        """The whole object, under its key; no harm where it is there already. The whole file's SHA-256 is compared
        where the bytes are at hand. Raises ChecksumMismatch, UploadBusy, ObjectNotFound."""
        ...

    def verifies_whole(self) -> bool:
        """Whether `finish` compares the whole file's SHA-256."""
        ...

    def discard(self, key: str, handle: str | None) -> None:
        """What there is of it, finished or not, also where whoever began it died before the handle was written down.
        No error where there is nothing."""
        ...
