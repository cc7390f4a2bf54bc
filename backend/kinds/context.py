"""What a step of a kind is given to work with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol

from backend.kinds.params import P_co
from backend.kinds.tools import Tools
from backend.media.facts import VideoFacts
from backend.media.sandbox import ByteReader
from backend.media.sound_facts import Probed, SoundFacts
from backend.settings import Settings


class OfSource:
    """What is known of the source, for contexts."""

    probed: Probed

    @property
    def facts(self) -> VideoFacts:
        """Of a kind whose source is a video."""
        assert isinstance(self.probed, VideoFacts), "this kind's source is no video"
        return self.probed

    @property
    def sound(self) -> SoundFacts:
        """Of a kind whose source is sound."""
        assert isinstance(self.probed, SoundFacts), "this kind's source is no sound"
        return self.probed


class Earlier(Protocol):
    """What the steps before have left. Nothing is read before it is asked for."""

    plan: Mapping[str, Any]  # what the step before this phase wrote down for it

    def artifacts(self) -> Iterator[tuple[bytes, str]]:
        """(bytes, SHA-256) of the phase's chunks, in order, each checked against its row.

        Raises ArtifactCorrupt, ObjectNotFound.
        """
        ...

    def files(self, folder: Path) -> Iterator[tuple[Path, str]]:
        """As `artifacts`, each fetched into the folder, unchecked."""
        ...

    def previews(self, folder: Path) -> Iterator[Path | None]:
        """The small film of each of the phase's chunks, in order, fetched into the folder, as whoever made it wrote it;
        None where there is none. Raises ObjectNotFound, StorageError."""
        ...

    def object(self, name: str) -> bytes:
        """One that the step before wrote for this phase. Raises ObjectNotFound."""
        ...


def no_further_inputs(uri: str) -> ByteReader:
    raise LookupError("The parameters name no further inputs.")


@dataclass(frozen=True)
class ChunkContext(OfSource, Generic[P_co]):
    """One chunk to work on. `report` takes the share done (0 to 1) and raises ClaimLost when the work must stop.

    `start_pts` or `end_pts` None: from the first frame, to the last one, whatever the container promised.
    """

    job_id: str
    chunk_index: int
    interval: tuple[int, int]  # PTS, half-open, as planned
    start_pts: int | None
    end_pts: int | None
    source: Mapping[str, Any]  # etag, size
    probed: Probed
    params: P_co
    reader: ByteReader
    folder: Path  # for temporary files; gone afterwards
    tools: Tools
    earlier: Earlier
    report: Callable[[float], None]
    open_input: Callable[[str], ByteReader] = no_further_inputs  # opens one that the parameters name
    # Stores a small film of the samples beside the artifact, as far as that can be done; None: nobody wants one.
    keep_preview: Callable[[Path], None] | None = None

    @property
    def settings(self) -> Settings:
        return self.tools.settings


@dataclass(frozen=True)
class WholeContext(OfSource, Generic[P_co]):
    """All of a job, to be made into its result or into its next phase.

    `report` takes the share done of all that is left of the job, and raises ClaimLost.
    """

    job_id: str
    probed: Probed
    params: P_co
    earlier: Earlier
    open_reader: Callable[[], ByteReader]  # opens the source
    folder: Path  # for temporary files; gone afterwards
    tools: Tools
    # The hardware encoders of each living chunk worker; empty where nobody may share the work (deep_mode=cpu).
    fleet: Callable[[], list[frozenset[str]]]
    report: Callable[[float], None]
    open_input: Callable[[str], ByteReader] = no_further_inputs  # opens one that the parameters name
    ending: str = ".mp4"  # of the output's name: the container that is wanted
    # Stores the small film of the whole at once, under the claim; None: nobody wants one.
    keep_preview: Callable[[Path], None] | None = None

    @property
    def settings(self) -> Settings:
        return self.tools.settings
