"""Which names a container's environment may have: settings under all their names, and what others read."""

from __future__ import annotations

import difflib
import re
from functools import cache
from typing import get_args

from pydantic import AliasChoices, SecretStr

from backend.settings import Settings

# Not ours: read by tini, Python, libpq, gunicorn, Matplotlib, OpenMP; below by boto3, OpenTelemetry, NVIDIA's toolkit.
OTHERS = frozenset(
    {
        "TINI_SUBREAPER",  # where ECS brings an init of its own, tini is not process 1
        "TMPDIR", "HOME", "LANG", "TZ", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "PGPASSWORD", "PGUSER",
        "PGSSLROOTCERT", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "GUNICORN_CMD_ARGS", "MPLCONFIGDIR",
        "OMP_NUM_THREADS",
        "APP_SECRET_KEY",  # the coach's operators have it; nothing is signed with it here
    }
)  # fmt: skip
OTHERS_BEGIN = ("AWS_", "OTEL_", "PYTHON", "NVIDIA_", "CUDA_")
SECRET_WORDS = re.compile(r"(SECRET|PASSWORD|PASSWD|TOKEN|PRIVATE_KEY|API_KEY|ACCESS_KEY)")
SECRET_VALUES = re.compile(
    r"://[^/@:\s]*:[^/@\s]+@"  # a URL with a password
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|[?&](?:password|sslpassword)=[^&\s]+"
    r"|^(?=.*[0-9])(?=.*[A-Z])(?=.*[a-z])[A-Za-z0-9+/=_-]{40,}$"  # as random as AWS's secret keys
)


@cache
def setting_names() -> dict[str, str]:
    """Every name that settings.py reads → the setting's own."""
    names: dict[str, str] = {}
    for field, facts in Settings.model_fields.items():
        alias = facts.validation_alias
        for name in alias.choices if isinstance(alias, AliasChoices) else [alias]:
            names[str(name)] = field
    return names


@cache
def secret_settings() -> frozenset[str]:
    """Names of settings that are secrets. DATABASE_URL may stand without its password."""
    kept = {field for field, facts in Settings.model_fields.items() if SecretStr in get_args(facts.annotation)}
    return frozenset(name for name, field in setting_names().items() if field in kept)


def is_known(name: str) -> bool:
    return name in setting_names() or name in OTHERS or name.startswith(OTHERS_BEGIN)


def likely_meant(name: str) -> str | None:
    """The setting with the most similar name, where one is similar."""
    near = difflib.get_close_matches(name, setting_names(), n=1, cutoff=0.75)
    return near[0] if near else None


def looks_secret(name: str, value: str) -> bool:
    """Whether a plain environment entry holds, by its name or its value, what belongs into Secrets Manager."""
    if SECRET_VALUES.search(value):
        return True
    if name == "DATABASE_URL" or name.endswith("DATABASE_URL"):
        return False  # with a password it was found above
    return bool(value) and (name in secret_settings() or bool(SECRET_WORDS.search(name)))
