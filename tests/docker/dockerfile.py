"""docker/Dockerfile as its stages, and what every target of it has to keep to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

TARGETS = ("api", "analysis-worker", "gpu-worker", "runpod")
USER = "10001:10001"
DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|CREDENTIAL|(?:^|_)KEY(?:_|$)")


@dataclass
class Stage:
    name: str
    base: str
    instructions: list[tuple[str, str]] = field(default_factory=list)

    def last(self, word: str) -> str | None:
        found = [rest for name, rest in self.instructions if name == word]
        return found[-1] if found else None


def stages_of(text: str) -> dict[str, Stage]:
    """In their order; what stands before the first is the stage ``."""
    stages = {"": Stage("", "")}
    for word, rest in _instructions(text):
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages[name] = Stage(name, base)
        else:
            next(reversed(stages.values())).instructions.append((word, rest))
    return stages


def inherited(stages: dict[str, Stage], name: str, word: str) -> str | None:
    """The instruction of a stage, or of the stage it is built on."""
    while name in stages:
        found = stages[name].last(word)
        if found is not None:
            return found
        name = stages[name].base
    return None


def command_of(text: str, target: str) -> list[str]:
    words = json.loads(inherited(stages_of(text), target, "CMD") or "[]")
    assert isinstance(words, list)
    return words


def environment_of(text: str, target: str) -> dict[str, str]:
    """ENV of a target and of what it is built on."""
    stages, chain, name = stages_of(text), list[Stage](), target
    while name in stages and name:
        chain.insert(0, stages[name])
        name = stages[name].base
    lines = [rest for stage in chain for word, rest in stage.instructions if word == "ENV"]
    return dict(pair.split("=", 1) for line in lines for pair in line.split())


def complaints(text: str) -> list[str]:
    """What is wrong with the file, a line for each."""
    stages = stages_of(text)
    found = [f"{name}: there is no such target" for name in TARGETS if name not in stages]
    found += _complaints_on_bases(stages)
    found += [each for target in TARGETS if target in stages for each in _complaints_on_target(stages, target)]
    for stage in stages.values():
        for word, rest in stage.instructions:
            if word in ("ENV", "ARG") and SECRET.search(rest.partition("=")[0].upper()):
                found.append(f"{stage.name}: {word} {rest.partition('=')[0]} would be a secret in the image")
    return found


def _complaints_on_bases(stages: dict[str, Stage]) -> Iterator[str]:
    defaults = dict(rest.split("=", 1) for word, rest in stages[""].instructions if word == "ARG" and "=" in rest)
    known: set[str] = set()
    for stage in [each for each in stages.values() if each.name]:
        base = re.sub(r"\$\{(\w+)\}", lambda match: defaults.get(match[1], ""), stage.base)
        if base not in known and not DIGEST.search(base):
            yield f"{stage.name}: its base {base or stage.base} is not pinned by a digest"
        if ":latest" in base:
            yield f"{stage.name}: latest names another image every week"
        known.add(stage.name)


def _complaints_on_target(stages: dict[str, Stage], target: str) -> Iterator[str]:
    if inherited(stages, target, "USER") != USER:
        yield f"{target}: does not run as {USER}"
    for word in ("ENTRYPOINT", "CMD"):
        if not _is_exec_form(inherited(stages, target, word) or ""):
            yield f"{target}: {word} is not in exec form, so that a shell would take its signals"
    for word in ("HEALTHCHECK", "STOPSIGNAL"):
        if inherited(stages, target, word) is None:
            yield f"{target}: has no {word}"


def _is_exec_form(words: str) -> bool:
    try:
        parsed: Any = json.loads(words)
    except ValueError:
        return False
    return isinstance(parsed, list) and all(isinstance(word, str) for word in parsed)


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word, " ".join(rest.split())
