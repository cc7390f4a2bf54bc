"""A film that was rendered in pieces and joined beside the same film rendered in one go."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from backend.errors import ArtifactCorrupt, EncoderUnavailable, FrameMismatch, PiecesApart
from backend.kinds.sheet import Sheet, plan_sheet
from backend.media.decode import IO_BUFFER_BYTES
from backend.media.encoder_names import encoder_for
from backend.media.facts import Appearance
from backend.media.pieces import LOOKAHEAD_FRAMES, can_fan_out
from tests.conftest import shared_file
from tests.integration.rendering import (
    FileReader,
    Plan,
    join,
    planned,
    probe,
    render_piece,
    render_pieces,
    rendered,
    rendered_in_pieces,
    working_encoders,
)
from tests.integration.test_contact_sheet import framing_of, numbered_film
from tests.integration.test_render import luma_of
from tests.integration.whole_films import FFMPEG, TEST_SOUND, ffmpeg

SMALL = ("-f", "lavfi", "-i", "testsrc2=r=25:s=192x108")
# B frames, and keyframes that are nowhere near the pieces' boundaries.
H264 = ("-c:v", "libx264", "-preset", "veryfast", "-g", 40, "-bf", 2, "-pix_fmt", "yuv420p")
MAX_LOSS_DB = 0.1
AROUND_FRAMES = 5


def both(source: Path, folder: Path, pieces: int = 2, **changes: Any) -> tuple[Path, Path]:
    """The film in one go, and from pieces of like length."""
    plan = planned(source, folder / "one.mp4", preset="ultrafast", **changes)
    return both_of(plan, [len(plan.pts) * number // pieces for number in range(1, pieces)])


def both_of(plan: Plan, boundaries: list[int]) -> tuple[Path, Path]:
    assert can_fan_out(plan.facts)
    one = rendered(plan)
    many = rendered_in_pieces(replace(plan, output=plan.output.with_name("many.mp4")), boundaries)
    assert many.counts == one.counts
    return one.path, many.path


def assert_same_film(one: Path, many: Path) -> None:
    """But for how the pictures' bits were spent."""
    with av.open(str(one)) as first, av.open(str(many)) as second:
        assert described(first) == described(second)
        assert first.chapters() == second.chapters()
        assert first.start_time == second.start_time
        pictures, others = split_packets(first)
        joined_pictures, joined_others = split_packets(second)
    assert others == joined_others
    assert sorted(shown for shown, _ in pictures) == sorted(shown for shown, _ in joined_pictures)
    assert [decoded for _, decoded in pictures] == [decoded for _, decoded in joined_pictures]
    assert_a_strict_reader_is_content(many)


def sound_of(path: Path) -> list[bytes]:
    """The packets of the first track."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def described(container: Any) -> list[tuple[Any, ...]]:
    """Its streams; one without a codec holds the chapters."""
    return [described_stream(stream) for stream in container.streams if stream.codec_context]


def described_stream(stream: Any) -> tuple[Any, ...]:
    context = stream.codec_context
    if stream.type != "video":
        return stream.type, context.name, stream.time_base, stream.language, context.extradata
    colours = (context.color_primaries, context.color_trc, context.colorspace, context.color_range)
    size = (context.width, context.height, context.sample_aspect_ratio, context.pix_fmt)
    return context.name, context.codec_tag, stream.time_base, stream.average_rate, size, colours, context.extradata


def split_packets(container: Any) -> tuple[list[tuple[int, int]], dict[int, list[tuple[int, int, bytes]]]]:
    """Times of the pictures, in decode order; times and bytes of all else."""
    pictures: list[tuple[int, int]] = []
    others: dict[int, list[tuple[int, int, bytes]]] = {}
    for packet in container.demux():
        if not packet.size:
            continue
        if packet.stream.type == "video":
            pictures.append((packet.pts, packet.dts))
        else:
            others.setdefault(packet.stream.index, []).append((packet.pts, packet.dts, bytes(packet)))
    return pictures, others


def assert_a_strict_reader_is_content(path: Path) -> None:
    """ffmpeg decodes all of it, and has nothing to say."""
    command = [FFMPEG, "-v", "error", "-xerror", "-i", str(path), "-enc_time_base", "demux", "-f", "null", "-"]
    read = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert (read.returncode, read.stderr) == (0, "")


# Every kind of source


def test_two_sound_tracks_subtitles_and_chapters(tmp_path: Path) -> None:
    """One of the tracks is copied, the other one encoded."""
    text, chapters, source = tmp_path / "text.srt", tmp_path / "chapters.txt", tmp_path / "source.mkv"
    text.write_text(
        "".join(f"{n}\n00:00:0{n},500 --> 00:00:0{n},900\nnumber {n}\n\n" for n in range(4)), encoding="utf-8"
    )
    parts = ((0, 1500), (1500, 4000))
    named = [f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={start}\nEND={end}\ntitle=from {start}\n" for start, end in parts]
    chapters.write_text(";FFMETADATA1\n" + "".join(named), encoding="utf-8")
    second = ("-f", "lavfi", "-i", "sine=f=300:r=44100")
    inputs = (*SMALL, *TEST_SOUND, *second, "-i", text, "-i", chapters)
    maps = [part for number in range(4) for part in ("-map", str(number))]
    coded = (*H264, "-c:a:0", "aac", "-c:a:1", "libvorbis", "-c:s", "srt")
    named_as = {"a:0": "deu", "a:1": "fra", "s:0": "eng"}
    languages = [part for at, name in named_as.items() for part in (f"-metadata:s:{at}", f"language={name}")]
    ffmpeg(*inputs, "-t", 4, *maps, "-map_chapters", 4, *coded, *languages, source)
    one, many = both(source, tmp_path, pieces=3)
    assert_same_film(one, many)
    assert sound_of(many) == sound_of(source)
    with av.open(str(many)) as film:
        assert [stream.language for stream in film.streams][1:4] == ["deu", "fra", "eng"]
        assert [chapter["metadata"]["title"] for chapter in film.chapters()] == ["from 0", "from 1500"]


def test_a_recorders_clock_of_26_hours_whose_sound_begins_before_and_ends_after_the_pictures(tmp_path: Path) -> None:
    """A transport stream: sound in its packets knows its time now and then, and is encoded for MP4."""
    source = tmp_path / "source.ts"
    sound = ("-t", 4.5, *TEST_SOUND)
    late = ("-itsoffset", 0.6, "-t", 3.4, *SMALL)
    ffmpeg(*late, *sound, "-map", 0, "-map", 1, *H264, "-c:a", "mp2", "-ar", 44100, "-output_ts_offset", 95_000, source)
    assert probe(source).start_pts > 95_000 * 90_000
    assert_same_film(*both(source, tmp_path))


def test_a_cut_by_an_edit_list(tmp_path: Path) -> None:
    """The file holds more than is shown, of sound that is copied and of sound that is encoded."""
    whole, source = tmp_path / "whole.mov", tmp_path / "source.mov"
    maps = ("-map", 0, "-map", 1, "-map", 1)
    ffmpeg(*SMALL, *TEST_SOUND, "-t", 4, *maps, *H264, "-c:a:0", "aac", "-c:a:1", "pcm_s16le", whole)
    ffmpeg("-ss", 1.37, "-i", whole, "-map", 0, "-c", "copy", source)
    assert_same_film(*both(source, tmp_path))


def interleaved(source: Path, output: Path, late_sec: float) -> Path:
    """The packets of `source`, but in the file sound stands so much after the pictures of its time."""

    def place(packet: Any) -> float:
        return float(packet.dts * packet.time_base) + (late_sec if packet.stream.type == "audio" else 0)

    at_once = {"max_interleave_delta": "1"}
    with av.open(str(source)) as read, av.open(str(output), "w", container_options=at_once) as written:
        streams = {stream.index: written.add_stream_from_template(stream) for stream in read.streams}
        for packet in sorted((packet for packet in read.demux() if packet.size), key=place):
            packet.stream = streams[packet.stream.index]
            written.mux(packet)
    return output


def test_sound_that_stands_late_in_the_file_is_waited_for_and_sound_far_ahead_is_refused(tmp_path: Path) -> None:
    ffmpeg(*SMALL, *TEST_SOUND, "-t", 6, *H264, "-c:a", "aac", plain := tmp_path / "plain.mp4")
    late, ahead = (interleaved(plain, tmp_path / f"{by}.mkv", by) for by in (4, -4))
    film = tmp_path / "film.mp4"
    rendered_in_pieces(planned(late, film, preset="ultrafast"), [75])
    assert sound_of(film) == sound_of(plain)
    with pytest.raises(PiecesApart, match="sound"):  # no seek finds it; who reads from the beginning does
        rendered_in_pieces(planned(ahead, film, preset="ultrafast"), [75])


def test_a_turned_film_of_variable_rate(tmp_path: Path) -> None:
    upright, source = tmp_path / "upright.mp4", tmp_path / "source.mp4"
    kept = ("-vf", "select='not(between(mod(n,11),3,5))'", "-fps_mode", "passthrough", "-enc_time_base", "1:90000")
    ffmpeg(*SMALL, *TEST_SOUND, "-t", 4, *kept, *H264, "-c:a", "aac", upright)
    ffmpeg("-display_rotation", 90, "-i", upright, "-c", "copy", source)
    facts = probe(source)
    assert (facts.rotation, facts.width, facts.height) == (90, 108, 192)
    assert_same_film(*both(source, tmp_path))


def test_hdr_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "source.mkv"
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    params = f"log-level=error:hdr10=1:master-display={display}:max-cll=1000,400:colorprim=bt2020:transfer=smpte2084"
    coded = ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-x265-params", params)
    ffmpeg(*SMALL, "-t", 2, *coded, source)
    one, many = both(source, tmp_path, hdr="keep")
    assert_same_film(one, many)
    with av.open(str(many)) as container:
        frames = list(container.decode(video=0))
    assert {(f.format.name, f.color_trc) for f in frames} == {("yuv420p10le", 16)}
    assert {bytes(f.side_data["CONTENT_LIGHT_LEVEL"])[:4] for f in frames} == {(1000).to_bytes(4, "little")}


def test_an_interlaced_film_without_sound(tmp_path: Path) -> None:
    """The deinterlacer looks at neighbours, so the pictures at a boundary need those beyond it."""
    source = tmp_path / "source.ts"
    woven = ("-vf", "scale=384:216,interlace", "-flags", "+ildct+ilme")
    ffmpeg("-f", "lavfi", "-i", "testsrc2=r=50:s=192x108", "-t", 3, *woven, "-c:v", "mpeg2video", "-q:v", 2, source)
    one, many = both(source, tmp_path, crf=0)
    assert_same_film(one, many)
    assert all(np.array_equal(a, b) for a, b in zip(luma_of(one), luma_of(many), strict=True))


def test_a_clock_that_jumps_is_not_fit_for_pieces() -> None:
    assert not can_fan_out(probe(shared_file("media", "found", "concat.ts")))
    assert not can_fan_out(probe(shared_file("media", "found", "h264b.avi")))


# Quality


def test_pieces_lose_no_quality_at_their_ends(tmp_path: Path) -> None:
    """Sound before the pictures too: 0.85 s of it."""
    source = tmp_path / "source.mp4"
    ffmpeg("-i", shared_file("media", "facerec_short_hamilton_clip.mp4"), "-t", 4, "-c", "copy", source)
    plan = planned(source, tmp_path / "one.mp4", preset="medium")
    exact = rendered(replace(plan, output=tmp_path / "exact.mp4", order=plan.order | {"crf": 0, "preset": "ultrafast"}))
    boundaries = [47]
    one, many = both_of(plan, boundaries)
    assert_same_film(one, many)
    errors = [squared_errors(exact.path, film) for film in (one, many)]
    places = [slice(row - AROUND_FRAMES, row + AROUND_FRAMES) for row in boundaries]
    for place in (slice(None), *places):
        alone, joined = (psnr_db(of_film[place]) for of_film in errors)
        assert joined >= alone - MAX_LOSS_DB, place


def squared_errors(exact: Path, film: Path) -> NDArray[np.float64]:
    pairs = zip(luma_of(exact), luma_of(film), strict=True)
    return np.array([np.square(a.astype(np.float64) - b).mean() for a, b in pairs])


def psnr_db(errors: NDArray[np.float64]) -> float:
    return float(10 * np.log10(255**2 / errors.mean()))


def test_the_contact_sheet_is_the_same(tmp_path: Path) -> None:
    source = numbered_film(tmp_path / "numbered.mkv")
    pictures = plan_sheet(framing_of(source))
    with Sheet(pictures) as sheet:
        plan = planned(source, tmp_path / "film.mp4", stills=pictures.order(), preset="ultrafast")
    sheets = []
    for boundaries in ([], [20]):
        with Sheet(pictures) as sheet:
            done = rendered_in_pieces(plan, boundaries, sheet.ring) if boundaries else rendered(plan, sheet.ring)
            sheets.append(sheet.png(done.counts["stills"]))
    assert sheets[0] == sheets[1]


# Bytes


class Counting(FileReader):
    """Remembers which bytes were asked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.read = np.zeros(self.size_bytes, bool)

    def read_at(self, offset: int, length: int) -> bytes:
        self.read[offset : offset + length] = True
        return super().read_at(offset, length)


def test_a_piece_reads_its_own_part_of_the_source(tmp_path: Path) -> None:
    source = tmp_path / "source.mp4"
    ffmpeg(*SMALL, *TEST_SOUND, "-t", 12, *H264, "-crf", 1, "-c:a", "aac", source)
    plan = planned(source, tmp_path / "film.mp4", preset="ultrafast")
    reader = Counting(source)
    render_piece(plan, plan.spans(160, 200)[1], reader)
    # From the keyframe where it begins (every 40 frames) to what the encoder looks ahead at, and the index.
    frames = 40 + LOOKAHEAD_FRAMES
    assert reader.read.sum() < reader.size_bytes * frames / len(plan.pts) + 3 * IO_BUFFER_BYTES


# Pieces that are not right


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Plan, list[dict[str, Any]]]]:
    """A film in three pieces, not joined yet."""
    folder = tmp_path_factory.mktemp("three")
    ffmpeg(*SMALL, *TEST_SOUND, "-t", 3, *H264, "-c:a", "aac", folder / "source.mp4")
    plan = planned(folder / "source.mp4", folder / "film.mp4", preset="ultrafast")
    yield plan, render_pieces(plan, [25, 50])


def test_a_piece_that_was_changed_is_refused(three: tuple[Plan, list[dict[str, Any]]], tmp_path: Path) -> None:
    plan, pieces = three
    changed = tmp_path / "changed"
    data = bytearray(Path(pieces[1]["file"]).read_bytes())
    data[len(data) // 2] ^= 1
    changed.write_bytes(data)
    with pytest.raises(ArtifactCorrupt):
        join(plan, [pieces[0], pieces[1] | {"file": str(changed)}, pieces[2]])
    with pytest.raises(ArtifactCorrupt, match="frames"):
        join(plan, [pieces[0], pieces[1] | {"frames": 24}, pieces[2]])


@pytest.mark.parametrize("order", [(0, 2, 1), (0, 2), (0, 1, 1, 2)], ids=["swapped", "missing", "twice"])
def test_pieces_that_do_not_follow_one_another_are_refused(
    three: tuple[Plan, list[dict[str, Any]]], order: tuple[int, ...]
) -> None:
    plan, pieces = three
    with pytest.raises(PiecesApart):
        join(plan, [pieces[number] for number in order])


def test_pieces_of_two_encoders_are_refused(three: tuple[Plan, list[dict[str, Any]]]) -> None:
    plan, pieces = three
    other = replace(plan, output=plan.output.with_name("other.mp4"), order=plan.order | {"preset": "medium"})
    middle = plan.spans(25, 50)[1]
    with pytest.raises(PiecesApart, match="one encoder"):
        join(plan, [pieces[0], render_piece(other, middle), pieces[2]])


def test_a_piece_of_other_frames_than_the_analysis_saw_fails(three: tuple[Plan, list[dict[str, Any]]]) -> None:
    plan, _ = three
    middle = plan.spans(25, 50)[1]
    moved = replace(plan, output=plan.output.with_name("moved.mp4"), path=plan.path + np.array([1.0, 0, 0, 0, 0]))
    with pytest.raises(FrameMismatch):
        render_piece(moved, middle)


def test_one_encoder_is_chosen_from_what_machines_say_that_they_have() -> None:
    here = working_encoders()
    assert {"libx264", "libx265"} <= set(here)
    sdr = Appearance(matrix=1, full_range=False, transfer=1, primaries=1, deep=False, interlaced=False, peak_nits=1000)
    ten_bits = sdr.model_copy(update={"deep": True})
    assert encoder_for(sdr, "keep", ["libx264", "h264_nvenc"]) == "h264_nvenc"
    assert encoder_for(sdr, "keep", ["libx264", "libx265"]) == encoder_for(ten_bits, "sdr", ["libx264"]) == "libx264"
    assert encoder_for(ten_bits, "keep", ["libx264", "libx265", "h264_nvenc"]) == "libx265"


def test_an_encoder_that_is_not_here_is_named(three: tuple[Plan, list[dict[str, Any]]]) -> None:
    plan, _ = three
    first = plan.spans(25)[0]
    with pytest.raises(EncoderUnavailable, match="h264_amf"):
        render_piece(plan, first, encoder="h264_amf")
