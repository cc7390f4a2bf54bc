"""Which server a remote worker works for, and the token that it shows: from the command line or the environment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from backend.errors import InvalidRequest
from backend.settings import Settings

MAX_TOKEN_BYTES = 4096


@dataclass(frozen=True)
class Access:
    server: str
    token: SecretStr
    allow_http: bool


def access_of(
    settings: Settings, *, server: str | None, token: str | None, token_file: Path | None, allow_http: bool
) -> Access | None:
    """What the command line asks for, and the settings where it does not say. None: no server is named, and the worker
    reaches the database itself. Raises InvalidRequest for half of an access."""
    server = server or settings.remote_server
    if server is None:
        if token or token_file or allow_http:
            raise InvalidRequest("--server: name the API that the token is for.")
        return None
    given = _token(token, token_file) or settings.remote_token
    if given is None:
        raise InvalidRequest("--token-file, or FRAMEFLEET_TOKEN: the server wants one (framefleet remote add NAME).")
    return Access(server, given, allow_http)


def _token(token: str | None, token_file: Path | None) -> SecretStr | None:
    if token is not None:
        return SecretStr(token.strip())
    if token_file is None:
        return None
    try:
        with token_file.open("rb") as file:
            return SecretStr(file.read(MAX_TOKEN_BYTES).decode().strip())
    except (OSError, UnicodeDecodeError) as failure:
        words = f"--token-file: {token_file} cannot be read ({type(failure).__name__})."
        raise InvalidRequest(words) from failure
