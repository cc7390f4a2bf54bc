"""The previews of a job's chunks, joined to one small film of the whole."""

from __future__ import annotations

from backend.kinds.base import FileType

PREVIEW = FileType("preview.mp4", "video/mp4")
