"""What a job kind is: its parameters, its result files, and the phases that its jobs go through.

A phase is a step in chunks, which the fleet works on in parallel, and then a step that takes up what the chunks left,
under the job's own claim. That one makes the job's result, or writes down what the next phase is to do.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Generic

from pydantic import AliasChoices, ValidationError
from pydantic_core import ErrorDetails

from backend.errors import InvalidParams
from backend.kinds.context import ChunkContext, WholeContext
from backend.kinds.output_type import OutputType
from backend.kinds.params import P, P_contra
from backend.kinds.path_preview import PathPreview
from backend.kinds.tools import Need
from backend.media.segments import Segment
from backend.settings import Settings
from backend.states import Stage
from backend.vision.artifacts import ChunkArtifact

JSON_TYPE = "application/json"
MAX_COMPLAINTS = 20


class SourceType(StrEnum):
    """What a kind's input has to be, and how it is looked at before the job is planned."""

    VIDEO = "video"
    SOUND = "sound"  # a sound file, or a video that has sound
    BYTES = "bytes"  # nobody looks at it


@dataclass(frozen=True)
class FileType:
    """A result beside the main one: its name in the job's folder, its type, and who gets it."""

    name: str
    content_type: str
    is_fetched: bool = False  # by `framefleet run`, beside the film
    asked_by: str | None = None  # the parameter, or what follows from several, without which it is not made


@dataclass(frozen=True)
class Done:
    """The job's result: the film, other files by name (large ones as paths), what to tell, seconds by stage.

    `sha256`: of the output, to be read again where it was put and compared. `encoder`: which made the film's pictures.
    """

    output: Path
    files: Mapping[str, bytes | Path] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    sha256: str | None = None
    encoder: str | None = None


@dataclass(frozen=True)
class Onward:
    """The next phase: its chunks, what their workers have to know (JSON, small), larger things as objects by name.

    `needs`: the encoder that whoever works on them must have; None where all have it.
    """

    spans: Sequence[Segment]
    plan: Mapping[str, Any]
    objects: Mapping[str, bytes]
    needs: str | None = None
    files: Mapping[str, bytes | Path] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)


class Chunks(ABC, Generic[P_contra]):
    """A step in chunks. Each chunk leaves one artifact, written once."""

    weight: ClassVar[float]  # percent of the job's work
    stage: ClassVar[Stage]
    words: ClassVar[str]  # what it is at, as in "no progress in …"
    needs: ClassVar[frozenset[Need]] = frozenset()
    pattern: ClassVar[str]  # the artifact's name in the job's folder, with the chunk's index to be filled in
    content_type: ClassVar[str]
    is_shared: ClassVar[bool] = False  # whether what an earlier job left can be adopted
    is_sampled: ClassVar[bool] = False  # whether it looks at pictures, and `tracked` says what it followed in them
    is_kept: ClassVar[bool] = True  # False: of no use once the job is done, and deleted then

    def made_of(self, params: P_contra) -> Mapping[str, Any]:
        """What of the parameters decides what a chunk holds: jobs that agree in it can go on from the same chunks."""
        return params.model_dump(mode="json")

    def serve(self, made_with: P_contra, wanted: P_contra) -> bool:
        """Whether chunks that were made with some parameters hold all that a job with others wants of them."""
        return self.made_of(made_with) == self.made_of(wanted)

    @property
    def special_need(self) -> Need | None:
        """What its rows say that their worker must have. Every chunk worker has a detector of people."""
        return next(iter(self.needs - {Need.DETECTOR}), None)

    @abstractmethod
    def work(self, context: ChunkContext[P_contra]) -> bytes: ...

    def adopted(self, data: bytes, context: ChunkContext[P_contra]) -> bytes | None:
        """A stored artifact as this chunk's own; None where it was made from another source or in another way.

        Raises ArtifactCorrupt, NewerVersion.
        """
        return data

    def tracked(self, data: bytes, sha256: str | None) -> ChunkArtifact:
        """What a sampled step's artifact says of tracks. Raises ArtifactCorrupt, NewerVersion."""
        raise NotImplementedError


class Whole(ABC, Generic[P_contra]):
    """A step that takes up all chunks of its phase."""

    weight: ClassVar[float]
    stage: ClassVar[Stage]  # once it shows progress
    words: ClassVar[str]
    patience: ClassVar[float] = 1.0  # how long until its first progress, in units of STALL_SECONDS

    @abstractmethod
    def work(self, context: WholeContext[P_contra]) -> Done | Onward: ...


@dataclass(frozen=True)
class Phase(Generic[P]):
    """Steps in chunks, if any, then the one that takes them up. `name` stands in the rows: it is never changed."""

    name: str
    chunks: Chunks[P] | None
    whole: Whole[P]

    @property
    def weight(self) -> float:
        return (self.chunks.weight if self.chunks else 0.0) + self.whole.weight


@dataclass(frozen=True)
class Weights:
    """Of what is done before a phase, of its chunks, and of all that follows them."""

    before: float
    chunks: float
    rest: float

    @property
    def all(self) -> float:
        return self.before + self.chunks + self.rest


@dataclass(frozen=True)
class Kind(Generic[P]):
    """`phases` are all that its jobs can have. Where not every job goes through all of them, `choose` says which ones,
    by the job's parameters; it begins with one of the first `beginnings`."""

    name: str
    output: OutputType
    params: type[P]
    phases: tuple[Phase[P], ...]
    files: Mapping[str, FileType]  # by the name of their API link
    source: SourceType = SourceType.VIDEO
    choose: Callable[[P], tuple[Phase[P], ...]] | None = None
    beginnings: int = 1
    preview: PathPreview[P] | None = None  # for kinds whose camera path can be edited

    def __post_init__(self) -> None:
        # Chunks of the first phase are intervals of a video.
        assert self.source is SourceType.VIDEO or not self.phases[0].chunks, f"{self.name}: only videos are cut"

    def parse_params(self, given: Mapping[str, Any]) -> P:
        """Raises InvalidParams, naming the parameter and what it must be."""
        try:
            parsed = self.params.model_validate(dict(given))
        except ValidationError as error:
            raise self._refusal(error) from error
        parsed.check()
        return parsed

    def check_types(self, given: Mapping[str, Any]) -> None:
        """That each value is of its own type, as JSON has types: true is no number, and "5" neither. For what comes as
        JSON; on a command line all is text. Raises InvalidParams."""
        try:
            self.params.model_validate_json(json.dumps(given), strict=True)
        except ValidationError as error:
            raise self._refusal(error) from error

    def laid_over(
        self, own: Mapping[str, Any], given: Mapping[str, Any], settings: Settings, *, strictly: bool = True
    ) -> dict[str, Any]:
        """A job's parameters with others over them, by name; None brings back the default. `strictly`: types count, as
        in `check_types`. Raises InvalidParams."""
        named = {self._field_of(name): value for name, value in given.items()}
        merged = {name: value for name, value in {**own, **named}.items() if value is not None or name not in named}
        if strictly:
            self.check_types(merged)
        return self.with_defaults(merged, settings)

    def made_anew(self, own: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
        """The parameters in which two jobs differ so that one cannot go on from the other's chunks. Raises
        InvalidParams."""
        before, after = self.parse_params(own), self.parse_params(other)
        changed = [name for name in self.params.model_fields if getattr(after, name) != getattr(before, name)]
        if self._goes_on(before, after):
            return []
        alone = [name for name in changed if not self._goes_on(before, _with(before, name, after))]
        # Where only several at once make it so: those of which it takes each.
        together = [name for name in changed if self._goes_on(before, _with(after, name, before))]
        return alone or together or changed

    def _goes_on(self, before: P, after: P) -> bool:
        first, other = ((self.choose(params) if self.choose else self.phases)[0] for params in (before, after))
        return first.name == other.name and (first.chunks is None or first.chunks.serve(before, after))

    def _field_of(self, name: str) -> str:
        """A parameter's own name, for one that has another too."""
        for own, info in self.params.model_fields.items():
            aliases = info.validation_alias
            if isinstance(aliases, AliasChoices) and name in aliases.choices:
                return own
        return name

    def for_job(self, params: Mapping[str, Any]) -> Kind[P]:
        """With the phases that a job of these parameters goes through. Raises InvalidParams."""
        if self.choose is None:
            return self
        return replace(self, phases=self.choose(self.parse_params(params)), choose=None)

    def files_of(self, params: Mapping[str, Any]) -> dict[str, FileType]:
        """Those that a job of these parameters leaves. Raises InvalidParams."""
        asked = self.parse_params(params)
        return {
            link: each for link, each in self.files.items() if each.asked_by is None or getattr(asked, each.asked_by)
        }

    def with_defaults(self, given: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
        """What the environment says, where this kind has such a parameter and the request does not name it.

        Raises InvalidParams.
        """
        known = {name: value for name, value in settings.param_defaults.items() if name in self.params.model_fields}
        asked = known | dict(given)
        self.parse_params(asked).check_here(settings)
        return asked

    @property
    def first_phases(self) -> list[str]:
        """The names of those that a job may begin with."""
        return [phase.name for phase in self.phases[: self.beginnings]]

    def phase(self, name: str) -> Phase[P]:
        return next(phase for phase in self.phases if phase.name == name)

    def after(self, name: str) -> Phase[P]:
        """The phase that follows. Raises LookupError behind the last one."""
        names = [phase.name for phase in self.phases]
        return self.phases[names.index(name) + 1]

    def weights(self, name: str) -> Weights:
        """How the work divides, seen from this phase."""
        before = at = 0.0
        for phase in self.phases:
            if phase.name == name:
                at = phase.chunks.weight if phase.chunks else 0.0
                break
            before += phase.weight
        return Weights(before, at, sum(phase.weight for phase in self.phases) - before - at)

    def may_have_versions(self, params: Mapping[str, Any]) -> bool:
        """Whether a job can go on from the finished chunks of one with these parameters. Raises InvalidParams."""
        first = self.for_job(params).phases[0].chunks
        return first is not None and first.is_shared and first.is_kept

    @property
    def has_chunks(self) -> bool:
        """Whether chunk workers have anything to do for it."""
        return any(phase.chunks for phase in self.phases)

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset(chain.from_iterable(phase.chunks.needs for phase in self.phases if phase.chunks))

    def _refusal(self, error: ValidationError) -> InvalidParams:
        found = error.errors(include_input=False, include_url=False)[:MAX_COMPLAINTS]
        fields = [(".".join(map(str, ("params", *each["loc"]))), _words(each["msg"])) for each in found]
        return InvalidParams(self._complaint(found[0]), fields)

    def _complaint(self, first: ErrorDetails) -> str:
        name = ".".join(str(part) for part in first["loc"]) or "params"
        if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
            return f"There is no parameter {name!r:.60}; there are: {', '.join(self.params.model_fields)}."
        field = self.params.model_fields.get(str(first["loc"][0])) if len(first["loc"]) == 1 else None
        described = field.description if field else None
        if described and first["type"] == "missing":
            return f"{name} is needed: {described}"
        if described and first["type"] in ("string_pattern_mismatch", "int_type", "int_parsing"):
            return f"{name:.60}: must be {described}"
        return f"{name:.60}: {_words(first['msg'])}"


def _words(message: str) -> str:
    return message.removeprefix("Value error, ")


def _with(params: P, name: str, other: P) -> P:
    """The same with one parameter of others."""
    return params.model_copy(update={name: getattr(other, name)})
