"""Job kind `stage`: a copy of any object or file at another place, its checksum compared there."""

from __future__ import annotations

import hashlib
import json
import time

from pydantic import Field

from backend.errors import SourceChanged
from backend.kinds.base import JSON_TYPE, Done, FileType, Kind, Phase, SourceType, Whole
from backend.kinds.context import WholeContext
from backend.kinds.output_type import OutputType
from backend.kinds.params import Params
from backend.states import Stage

BLOCK_BYTES = 8 * 2**20
# The copy is uploaded, and read again, once it is here.
FETCHED_SHARE = 0.99


class StageParams(Params):
    sha256: str | None = Field(
        None, pattern=r"^[0-9a-fA-F]{64}$", description="64 hexadecimal digits: what the source's bytes have to have"
    )


class FetchSource(Whole[StageParams]):
    weight = 100.0
    stage = Stage.RENDERING
    words = "copying the source"

    def work(self, context: WholeContext[StageParams]) -> Done:
        """Raises SourceChanged for bytes that have not the checksum that was asked for, and what reading raises."""
        began = time.monotonic()
        reader, digest, target = context.open_reader(), hashlib.sha256(), context.folder / "copy"
        size_bytes = reader.size_bytes
        with target.open("wb") as file:
            for offset in range(0, size_bytes, BLOCK_BYTES):
                block = reader.read_at(offset, BLOCK_BYTES)
                digest.update(block)
                file.write(block)
                context.report(FETCHED_SHARE * min(1.0, (offset + BLOCK_BYTES) / size_bytes))
        sha256 = digest.hexdigest()
        if context.params.sha256 is not None and context.params.sha256.lower() != sha256:
            raise SourceChanged(f"The source has the SHA-256 {sha256}, not the one that params.sha256 asks for.")
        told = json.dumps({"size_bytes": size_bytes, "sha256": sha256}).encode()
        return Done(target, {"copy.json": told}, seconds={"fetch": time.monotonic() - began}, sha256=sha256)


STAGE = Kind[StageParams](
    name="stage",
    output=OutputType("_copy", None, keeps_ending=True),
    params=StageParams,
    phases=(Phase[StageParams]("stage", None, FetchSource()),),
    files={"copy": FileType("copy.json", JSON_TYPE, is_fetched=True)},
    source=SourceType.BYTES,
)
