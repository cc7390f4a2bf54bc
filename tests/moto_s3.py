"""moto's server, whose S3 looks whether there is an object and writes it in one step, as S3 does: left to itself, its
threads come between the two."""

from __future__ import annotations

import threading
from typing import Any

from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer

_put = S3Response.put_object
_lock = threading.Lock()


def _put_one_by_one(response: S3Response) -> Any:
    with _lock:
        return _put(response)


def moto_server(port: int = 0) -> ThreadedMotoServer:
    """Not started yet; port 0: any that is free."""
    S3Response.put_object = _put_one_by_one  # type: ignore[method-assign]
    return ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
