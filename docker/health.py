"""A container's health check: `python docker/health.py PORT PATH`. Exit code 0 for a 200 within three seconds."""

from __future__ import annotations

import sys
from http.client import HTTPConnection, HTTPException

TIMEOUT_SEC = 3.0


def main(port: str, path: str) -> int:
    # Not through urllib: an HTTP_PROXY that the service needs would be asked for this address too.
    connection = HTTPConnection("127.0.0.1", int(port), timeout=TIMEOUT_SEC)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, HTTPException) as failure:
        print(f"127.0.0.1:{port}{path} does not answer: {failure}")  # noqa: T201 - `docker inspect` shows it
        return 1
    finally:
        connection.close()
    if status != 200:
        print(f"127.0.0.1:{port}{path} answers {status}")  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
