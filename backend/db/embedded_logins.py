"""Who may log in to the embedded server: the owner of its tables, and the services; each with a password of its own.

A process of the same account finds the socket, and may be one that parses somebody's video: it is nobody there.
"""

from __future__ import annotations

import fcntl
import hashlib
import secrets
from pathlib import Path

from backend.errors import DatabaseUnavailable

# The owner may do everything on the server; services read and write rows (backend/db/app_role.py).
OWNER, SERVICES = "framefleet", "framefleet_app"
# All of pg_hba.conf: over the socket, with a password, and in no other way.
RULES = "local all all scram-sha-256\n"
RULES_FILE = "pg_hba.conf"
# In the server's own folder: what its rules and its owner's password are.
SEAL_FILE = "framefleet.logins"
PASSWORD_BYTES = 32


def password_of(role: str, folder: Path) -> str:
    """Kept in the folder, readable for its owner alone; made when it is first asked for. Raises DatabaseUnavailable."""
    kept = folder / f"{role}.password"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "passwords.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # processes that start together must not make one each
            if not kept.exists() or not kept.stat().st_size:
                _write_secret(kept, secrets.token_urlsafe(PASSWORD_BYTES))
            return kept.read_text()
    except OSError as error:
        raise DatabaseUnavailable(f"The data folder {folder} cannot be used: {error.strerror}.") from error


def seal(owner_password: str) -> str:
    """What SEAL_FILE says of a server that asks for this password."""
    return hashlib.sha256(f"{RULES}{OWNER}{owner_password}".encode()).hexdigest()


def owners_password(password: str) -> bytes:
    """The statement, for a server that nobody can reach yet."""
    return f"ALTER ROLE {OWNER} PASSWORD '{password}'\n".encode()


def _write_secret(path: Path, secret: str) -> None:
    path.touch(mode=0o600)
    path.write_text(secret)
