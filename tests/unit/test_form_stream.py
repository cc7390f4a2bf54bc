"""A form's file is read in the sizes that its reader asks for: a bucket's parts are cut by them."""

from __future__ import annotations

import io
import os

import pytest

from backend.api.form_stream import BLOCK_BYTES, FormStream


@pytest.mark.parametrize("size_bytes", [1000, BLOCK_BYTES - 1, BLOCK_BYTES, 3 * BLOCK_BYTES])
def test_no_read_gives_more_than_was_asked_for_and_none_is_lost(size_bytes: int) -> None:
    data = os.urandom(2 * BLOCK_BYTES + 12_345)
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp4"\r\n\r\n'
    tail = b'\r\n--b\r\nContent-Disposition: form-data; name="kind"\r\n\r\ncrop\r\n--b--\r\n'
    form = FormStream(io.BytesIO(head + data + tail), "b")
    blocks = list(iter(lambda: form.read(size_bytes), b""))
    assert max(map(len, blocks)) <= size_bytes
    assert b"".join(blocks) == data
    assert form.fields == {"kind": "crop"}
