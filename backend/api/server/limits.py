"""How long, how slow and how large: what one client may cost."""

from __future__ import annotations

HEAD_SEC = 10.0  # for the whole head of a request
UNREAD_SEC = 60.0  # a client that takes nothing of its answer for so long has gone; players ask for the rest again
LINGER_SEC = 2.0  # to read an answer that came before the request was whole
BODY_SILENCE_SEC = 30.0
BODY_GRACE_SEC = 30.0
MIN_BODY_BYTES_PER_SEC = 4096  # after the grace, on the average

MAX_HEAD_BYTES = 32 * 1024
MAX_LINE_BYTES = 8 * 1024
MAX_CHUNK_LINE_BYTES = 1024
MAX_TRAILER_BYTES = 8 * 1024
MEMORY_BODY_BYTES = 64 * 1024  # larger ones wait on disk until they are whole
SPOOLED_BODY_BYTES = 32 * 1024 * 1024  # larger ones, and those of unknown length, are read while they arrive
STREAMING_THREADS = 32  # how many of those may be under way
TURN_BYTES = 128 * 1024  # sent to one client before it is the others' turn
ANSWER_BYTES = 16 * 1024 * 1024  # of an answer that is no file: what waits for the client without a thread


def is_too_slow(received_bytes: int, seconds: float, silent_sec: float) -> bool:
    """Whether a body that was waited for this long comes too slowly, or no more."""
    floor = MIN_BODY_BYTES_PER_SEC * (seconds - BODY_GRACE_SEC)
    return silent_sec > BODY_SILENCE_SEC or received_bytes < floor
