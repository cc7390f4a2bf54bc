"""The child process that parses media: `python -m backend.media.child BYTES_FD MESSAGES_FD [RING_FD]`.

Started by backend.media.sandbox only. Runs one operation, reports in JSON, exits.
"""

from __future__ import annotations

import errno
import mmap
import resource
import socket
import sys
from pathlib import Path
from typing import Any, BinaryIO, cast

from backend.errors import FramefleetError, StorageError
from backend.media import wire

NVIDIA = Path("/dev/nvidiactl")


def main(arguments: list[str]) -> int:
    bytes_sock = socket.socket(fileno=int(arguments[0]))
    messages_sock = socket.socket(fileno=int(arguments[1]))
    order = wire.receive_message(messages_sock)
    _limit(order["memory_bytes"])
    source = cast(BinaryIO, wire.RemoteFile(bytes_sock, order["size_bytes"]))
    ring = mmap.mmap(int(arguments[2]), order["ring"]["slots"] * order["ring"]["slot_bytes"]) if order["ring"] else None
    try:
        result = _run(order, source, messages_sock, ring)
        wire.send_message(messages_sock, {"result": result})
    except FramefleetError as error:
        wire.send_message(messages_sock, {"error": error.code, "message": error.message})
    except MemoryError:
        wire.send_message(messages_sock, {"error": "media_too_large", "message": "The video needs too much memory."})
    except (BrokenPipeError, ConnectionResetError, wire.WireClosed):  # the parent dropped the work
        return 1
    except OSError as error:  # a file that ends, or a filter that writes one: wherever else it shows
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        full = "The temporary folder (TMPDIR) is full: make room there."
        wire.send_message(messages_sock, {"error": StorageError.code, "message": full})
    return 0


def _run(
    order: dict[str, Any], source: BinaryIO, messages_sock: socket.socket, ring: mmap.mmap | None
) -> dict[str, Any]:
    from backend.media import (  # after the limits are set
        decode,
        dub,
        encoders,
        hardware_decoder,
        index,
        join,
        probe,
        probe_sound,
        render,
        render_piece,
        samples,
        stills,
        subtitle_pictures,
        trim,
    )
    from backend.media.cropper import CropOrder
    from backend.media.head import RecordedFile

    params = order["params"]
    report = lambda done: wire.send_message(messages_sock, {"frames": done})  # noqa: E731
    match order["operation"]:
        case "probe":
            prober = probe.Prober(source, max_pixels=params["max_pixels"], threads=params["threads"])
            return prober.facts().model_dump(mode="json")
        case "probe_sound":
            return probe_sound.probe_sound(source).model_dump(mode="json")
        case "trim":
            return trim.trim(
                source, trim.TrimOrder(**params), lambda sec: wire.send_message(messages_sock, {"sec": sec})
            )
        case "dub":
            tell = lambda sec: wire.send_message(messages_sock, {"sec": sec})  # noqa: E731
            return dub.dub(source, dub.DubOrder(**params), tell)
        case "subtitles":
            drawing = subtitle_pictures.SubtitleOrder(**params)
            return subtitle_pictures.draw_subtitles(source.read(), drawing, report)
        case "index":
            send = lambda pts: wire.send_message(messages_sock, {"frame_pts": pts})  # noqa: E731
            return index.index(source, index.IndexOrder(**params), send)
        case "encoders":
            return {"working": encoders.working_encoders((params["width"], params["height"]))}
        case "decoders":
            return {"working": hardware_decoder.working_decoders((params["width"], params["height"]))}
        case "join":
            return join.join(join.JoinOrder(**params), report, ring)
    recorded = RecordedFile(source) if order["operation"] == "render_piece" else None
    with decode.open_container(cast(BinaryIO, recorded or source)) as container:
        head = recorded.head() if recorded else []
        stream = decode.open_video(container, max_pixels=params["max_pixels"], threads=params["threads"])
        match order["operation"]:
            case "samples":
                assert ring is not None  # the parent always hands one to this operation
                sink = samples.SlotSink(messages_sock, ring, order["ring"]["slots"], order["ring"]["slot_bytes"])
                return samples.stream_samples(container, stream, samples.SampleOrder(**params), sink)
            case "render":
                return render.render(container, stream, CropOrder(**params), report, ring)
            case "render_piece":
                piece = render_piece.PieceOrder(**params)
                return render_piece.render_piece(container, stream, piece, report, head, order["size_bytes"])
            case "stills":
                return stills.take_stills(container, stream, stills.TakeOrder(**params), report, ring)
            case unknown:
                raise FramefleetError(f"The media process knows no operation {unknown!r}.")


def _limit(memory_bytes: int) -> None:
    # CUDA, which NVENC needs, reserves more addresses than any machine has memory: there what is written to counts.
    kind = resource.RLIMIT_DATA if NVIDIA.exists() else resource.RLIMIT_AS
    resource.setrlimit(kind, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
