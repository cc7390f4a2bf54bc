"""Decoding in hardware is believed only where it gives the CPU's frames. The device's part is played by software."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import av
import pytest
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from backend.errors import HardwareDecoderUnfit
from backend.jobs.looks import probe_source
from backend.kinds.context import ChunkContext
from backend.kinds.people import DetectionParams, analyse_chunk
from backend.kinds.tools import Tools
from backend.media.hardware import NVIDIA, hardware_here, working_decoders
from backend.media.hardware_decoder import COMPARED_FRAMES, CheckedDecoder, on_device
from backend.settings import Settings
from backend.storage import open_source
from backend.storage.range_reader import RangeReader
from backend.vision.artifacts import to_json_bytes
from tests.conftest import Said
from tests.integration.whole_films import Nobody, ffmpeg
from tests.samples import make_sample

SECONDS = 2
needs_no_gpu = pytest.mark.skipif(NVIDIA.exists(), reason="this machine has a GPU")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=SECONDS)


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    with av.open(str(path)) as container:
        yield container, container.streams.video[0]


def in_software(own: VideoCodecContext) -> VideoCodecContext:
    decoder = av.CodecContext.create(own.name, "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_count, decoder.thread_type = 2, "FRAME"  # so that it lags behind the other one
    return decoder


def sloppy(own: VideoCodecContext) -> VideoCodecContext:
    """One that leaves out frames which no other is made from."""
    decoder = in_software(own)
    decoder.skip_frame = "NONREF"
    return decoder


def decoded(path: Path) -> list[VideoFrame]:
    with opened(path) as (container, stream):
        return list(container.decode(stream))


def test_all_frames_come_once_in_order_and_are_those_of_the_cpu(clip: Path) -> None:
    with opened(clip) as (container, stream):
        decoder = CheckedDecoder(stream, in_software)
        found = [frame for packet in container.demux(stream) for frame in decoder.decode(packet)]
    expected = decoded(clip)
    assert [frame.pts for frame in found] == [frame.pts for frame in expected]
    assert len(found) == 25 * SECONDS > 2 * COMPARED_FRAMES
    assert all((one.to_ndarray() == other.to_ndarray()).all() for one, other in zip(found, expected, strict=True))


def test_a_film_shorter_than_what_is_compared_comes_whole(clip: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.mp4"
    ffmpeg("-i", clip, "-frames:v", "5", "-an", "-c", "copy", short)
    with opened(short) as (container, stream):
        decoder = CheckedDecoder(stream, in_software)
        found = [frame.pts for packet in container.demux(stream) for frame in decoder.decode(packet)]
    assert found == [frame.pts for frame in decoded(short)]
    assert 0 < len(found) < COMPARED_FRAMES


def test_after_a_seek_the_comparison_begins_anew(clip: Path) -> None:
    with opened(clip) as (container, stream):
        decoder = CheckedDecoder(stream, in_software)
        for packet, _ in zip(container.demux(stream), range(20), strict=False):
            decoder.decode(packet)
        container.seek(0, stream=stream)
        decoder.flush_buffers()
        found = [frame.pts for packet in container.demux(stream) for frame in decoder.decode(packet)]
    assert found == [frame.pts for frame in decoded(clip)]


def test_a_decoder_that_gives_other_frames_is_unfit(clip: Path) -> None:
    with opened(clip) as (container, stream):
        decoder = CheckedDecoder(stream, sloppy)
        with pytest.raises(HardwareDecoderUnfit, match="other frames than the CPU's"):
            for packet in container.demux(stream):
                decoder.decode(packet)


@pytest.mark.parametrize(
    ("codec", "pix_fmt"), [("libx264", "yuv420p10le"), ("libx264", "yuv444p"), ("mpeg4", "yuv420p")]
)
def test_films_whose_samples_would_be_moved_are_left_to_the_cpu(tmp_path: Path, codec: str, pix_fmt: str) -> None:
    film = tmp_path / "film.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=r=25:s=64x64:d=0.2", "-c:v", codec, "-pix_fmt", pix_fmt, film)
    with opened(film) as (_, stream), pytest.raises(HardwareDecoderUnfit, match="is decoded on the CPU"):
        on_device(stream.codec_context)


@needs_no_gpu
def test_without_a_device_nothing_is_found_and_a_trial_says_so(settings: Settings) -> None:
    assert hardware_here(settings) == []
    assert working_decoders(settings) == []


@needs_no_gpu
def test_a_chunk_that_the_device_does_not_decode_is_decoded_on_the_cpu_and_is_the_same(
    clip: Path, settings: Settings, tmp_path: Path, said: list[Said]
) -> None:
    source = open_source(clip.as_uri(), settings)
    facts = probe_source(RangeReader(source), settings)
    assert facts.suits_hardware

    def work(tools: Tools) -> ChunkContext[DetectionParams]:
        return ChunkContext(
            job_id="here",
            chunk_index=0,
            interval=(facts.start_pts, facts.start_pts + (facts.duration_pts or 0)),
            start_pts=None,
            end_pts=None,
            source={"etag": source.info.etag, "size": source.info.size_bytes},
            probed=facts,
            params=DetectionParams(),
            reader=RangeReader(source),
            folder=tmp_path,
            tools=tools,
            earlier=None,  # type: ignore[arg-type]  # a first step has none
            report=lambda share: None,
        )

    plain = analyse_chunk(work(Tools(settings, Nobody)))
    tools = Tools(settings, Nobody, hardware=frozenset({"nvdec"}))
    first, second = analyse_chunk(work(tools)), analyse_chunk(work(tools))
    assert to_json_bytes(first) == to_json_bytes(second) == to_json_bytes(plain)
    assert [each.event for each in said].count("hardware_decoder_unfit") == 1  # once a job
    unwilling = replace(tools, unfit_jobs=set(), settings=settings.model_copy(update={"hardware_decode": False}))
    assert to_json_bytes(analyse_chunk(work(unwilling))) == to_json_bytes(plain)
    assert [each.event for each in said].count("hardware_decoder_unfit") == 1
