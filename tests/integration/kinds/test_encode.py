"""Subtitles are in the picture at their times and nowhere else, the other sound is there, and every frame keeps its
time."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from backend.errors import InvalidParams, SourceNotFound, SubtitlesUnreadable
from backend.kinds.encode import ENCODE
from backend.media.subtitle_pictures import Programs, SubtitleOrder, draw_subtitles
from tests.conftest import shared_file
from tests.integration.kinds.shop import Shop
from tests.integration.rendering import LIMITS, decoded_pts
from tests.integration.whole_films import ffmpeg, made

QUICK = {"preset": "ultrafast", "crf": 10}
GREY = ("-f", "lavfi", "-i", "color=gray:r=25:s=320x180:d=3")
HIGH = ("-f", "lavfi", "-i", "sine=f=1000:r=44100:d=3")
LOW = ("-f", "lavfi", "-i", "sine=f=250:r=48000:d=2.5")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", 25, "-bf", 2, "-pix_fmt", "yuv420p")
SRT = "1\n00:00:01,000 --> 00:00:01,480\nHello\n\n2\n00:00:02,000 --> 00:00:02,200\n<b>Привет</b>\n"
ASS = """[Script Info]
ScriptType: v4.00+
PlayResX: 320
PlayResY: 180

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, OutlineColour, BackColour, Alignment, MarginV, BorderStyle, Outline
Style: Top,{font},24,&H000000FF,&H00000000,&H00000000,8,5,1,0

[Events]
Format: Layer, Start, End, Style, Text
Dialogue: 0,0:00:00.40,0:00:00.80,Top,HOHOHO
"""


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    ffmpeg(*GREY, *HIGH, *H264, "-c:a", "aac", path)
    return path


def written(folder: Path, name: str, text: str | bytes) -> str:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def drawn(data: bytes, order: SubtitleOrder) -> dict[str, Any]:
    programs = Programs(order, LIMITS.jail(None))
    return draw_subtitles(data, order, programs, lambda done: None)


def pictures(path: Path) -> tuple[list[float], NDArray[np.uint8]]:
    """Seconds and RGB."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return [round(float(frame.time or 0), 3) for frame in frames], np.stack(
            [f.to_ndarray(format="rgb24") for f in frames]
        )


def marked(seen: NDArray[np.uint8]) -> list[bool]:
    """Whether anything but the grey ground is in a picture."""
    return [bool((abs(each.astype(int) - 128) > 60).any()) for each in seen]


def loudest_hz(path: Path) -> float:
    with av.open(str(path)) as container:
        (stream,) = container.streams.audio
        samples = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(stream)])[: stream.rate]
        return float(np.abs(np.fft.rfft(samples)).argmax())


def test_srt_is_shown_from_its_start_until_its_end_and_never_else(shop: Shop, film: Path, tmp_path: Path) -> None:
    job = shop.made("encode", str(film), {"subtitles_uri": written(tmp_path, "words.srt", SRT), **QUICK})
    film_made = shop.result(job, tmp_path)
    times, seen = pictures(film_made)
    assert decoded_pts(film_made) == decoded_pts(film)
    assert marked(seen) == [1.0 <= time < 1.48 or 2.0 <= time < 2.2 for time in times]
    below = seen[times.index(1.2)]
    assert marked(below[None, 120:]) == [True] and marked(below[None, :100]) == [False]
    assert job.warnings == []
    assert loudest_hz(film_made) == 1000


def test_ass_has_its_colour_and_place_and_a_font_that_is_not_there_is_named(
    shop: Shop, film: Path, tmp_path: Path
) -> None:
    script = written(tmp_path, "words.ass", ASS.format(font="No Such Font"))
    job = shop.made("encode", str(film), {"subtitles_uri": script, **QUICK})
    times, seen = pictures(shop.result(job, tmp_path))
    assert marked(seen) == [0.4 <= time < 0.8 for time in times]
    red = np.abs(seen[times.index(0.6)].astype(int) - [250, 0, 0]).sum(axis=2) < 60
    assert red[:60].any() and not red[60:].any()
    assert len(job.warnings) == 1 and job.warnings[0].startswith(
        "The font No Such Font is not there: the subtitles are"
    )


def test_a_font_that_is_given_is_taken(shop: Shop, film: Path, tmp_path: Path) -> None:
    from matplotlib import get_data_path

    font = str(Path(get_data_path()) / "fonts" / "ttf" / "STIXGeneral.ttf")
    script = written(tmp_path, "words.ass", ASS.format(font="STIXGeneral"))
    plain = shop.made(
        "encode", str(film), {"subtitles_uri": written(tmp_path, "p.ass", ASS.format(font="Nix")), **QUICK}
    )
    job = shop.made("encode", str(film), {"subtitles_uri": script, "font_uris": [font], **QUICK})
    assert job.warnings == []
    drawn = [pictures(shop.result(each, tmp_path))[1][15] for each in (plain, job)]
    assert (abs(drawn[0].astype(int) - drawn[1]) > 60).any()


def test_words_that_move_are_drawn_anew_for_every_frame(shop: Shop, film: Path, tmp_path: Path) -> None:
    moving = ASS.format(font="DejaVu Sans").replace("HOHOHO", r"{\an7\move(0,20,200,20)}H")
    job = shop.made("encode", str(film), {"subtitles_uri": written(tmp_path, "move.ass", moving), **QUICK})
    times, seen = pictures(shop.result(job, tmp_path))
    lefts = [
        int(np.flatnonzero((abs(each.astype(int) - 128) > 60).any(axis=(0, 2)))[0])
        for time, each in zip(times, seen, strict=True)
        if 0.4 <= time < 0.8
    ]
    assert len(lefts) == 10 and all(later - earlier > 10 for earlier, later in pairwise(lefts))


@pytest.mark.parametrize("name", ["low.wav", "low.mp3"])
def test_the_other_sound_takes_the_place_of_the_videos(shop: Shop, film: Path, tmp_path: Path, name: str) -> None:
    ffmpeg(*LOW, tmp_path / name)
    job = shop.made("encode", str(film), {"audio_uri": str(tmp_path / name), "language": "rus", **QUICK})
    film_made = shop.result(job, tmp_path)
    assert decoded_pts(film_made) == decoded_pts(film)
    assert loudest_hz(film_made) == 250
    with av.open(str(film_made)) as container:
        (stream,) = container.streams.audio
        assert stream.metadata["language"] == "rus"
        frames = list(container.decode(stream))
        assert abs(float(frames[0].time or 0)) < 0.001
        assert abs(sum(frame.samples for frame in frames) / stream.rate - 2.5) < 0.06


def test_a_film_in_pieces_gets_its_other_sound_when_it_is_joined(film: Path, tmp_path: Path) -> None:
    ffmpeg(*LOW, tmp_path / "low.wav")
    whole = made(ENCODE, film, tmp_path / "work", workers=2, audio_uri=str(tmp_path / "low.wav"), **QUICK)
    assert whole.pieces > 1
    assert decoded_pts(whole.path) == decoded_pts(film)
    assert loudest_hz(whole.path) == 250


def test_frames_at_a_variable_rate_keep_their_times_under_subtitles(shop: Shop, tmp_path: Path) -> None:
    source = shared_file("media", "mediabunny_cursed-vfr.mp4")
    job = shop.made("encode", str(source), {"subtitles_uri": written(tmp_path, "words.srt", SRT), **QUICK})
    assert decoded_pts(shop.result(job, tmp_path)) == decoded_pts(source)


@pytest.mark.parametrize(
    "text", [b"", b"once upon a time", b"\xff\x00\x80\x81", b"[Script Info]\n", b"1\nx --> y\nHello\n"]
)
def test_what_is_no_subtitles_is_called_so(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "fonts").mkdir()
    np.save(tmp_path / "times.npy", np.arange(0, 1000, 40))
    files = {"folder": str(tmp_path), "times_file": str(tmp_path / "times.npy"), "output_file": str(tmp_path / "o")}
    with pytest.raises(SubtitlesUnreadable, match=r"\.ass or \.srt"):
        drawn(text, SubtitleOrder(width=64, height=48, **files))


def test_letters_that_no_font_has_do_not_fill_the_disk(tmp_path: Path) -> None:
    """libass has words for each of them on every picture: of an hour that moves, a hundred gigabytes."""
    (tmp_path / "fonts").mkdir()
    np.save(tmp_path / "times.npy", np.arange(0, 2000, 40))
    files = {"folder": str(tmp_path), "times_file": str(tmp_path / "times.npy"), "output_file": str(tmp_path / "o")}
    strange = "".join(chr(0xE000 + number) for number in range(400))
    script = ASS.format(font="No Such Font").replace("0:00:00.80,Top,HOHOHO", rf"0:00:02.00,Top,{{\t(\fs30)}}{strange}")
    found = drawn(script.encode(), SubtitleOrder(width=64, height=48, **files))
    assert found["drawings"] == 40 and list(found["missing_fonts"]) == ["No Such Font"]
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 2**20


def test_of_many_fonts_that_are_not_there_the_first_are_named(shop: Shop, film: Path, tmp_path: Path) -> None:
    many = "".join(rf"{{\fnNix {number:03}}}a" for number in range(100))
    script = written(tmp_path, "many.ass", ASS.format(font="DejaVu Sans").replace("HOHOHO", many))
    job = shop.made("encode", str(film), {"subtitles_uri": script, **QUICK})
    assert [warning.split()[3] for warning in job.warnings[:-1]] == [f"{number:03}" for number in range(20)]
    assert job.warnings[-1] == "More fonts are not there: 80."


MISSING = "s3://there/in/nothing"
WORDS = "s3://there/in/words.srt"


@pytest.mark.parametrize(
    ("words", "params", "code"),
    [
        (b"once upon a time", {"subtitles_uri": WORDS}, "subtitles_unreadable"),
        (b"\xff\x00\x80\x81", {"subtitles_uri": WORDS}, "subtitles_unreadable"),
        (SRT.encode(), {"subtitles_uri": MISSING}, "input_not_found"),
        (SRT.encode(), {"subtitles_uri": WORDS, "font_uris": [MISSING]}, "input_not_found"),
        (SRT.encode(), {"subtitles_uri": WORDS, "audio_uri": WORDS}, "not_a_sound"),
    ],
    ids=["no subtitles", "no text", "nothing there", "no font there", "no sound"],
)
def test_a_job_that_fails_leaves_its_place_in_the_bucket_as_it_was(
    s3_shop: Shop, s3: Any, film: Path, words: bytes, params: dict[str, Any], code: str
) -> None:
    """Nothing where nothing was, and the film that was there where one was."""
    s3.upload_file(str(film), "there", "in/film.mp4")
    s3.put_object(Bucket="there", Key="in/words.srt", Body=words)
    s3.put_object(Bucket="there", Key="out/old.mp4", Body=b"an earlier film")
    before = contents(s3)
    for place in ("out/new.mp4", "out/old.mp4"):
        job = s3_shop.made("encode", "s3://there/in/film.mp4", params | QUICK, output_uri=f"s3://there/{place}")
        assert (job.status, job.error_code) == ("failed", code), job.error_message
        assert contents(s3) == before
        assert not [key for key in s3_shop.store.list(f"jobs/{job.id}/") if "/output/" in key]
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="there")


def contents(s3: Any) -> dict[str, bytes]:
    found = s3.list_objects_v2(Bucket="there")["Contents"]
    return {each["Key"]: s3.get_object(Bucket="there", Key=each["Key"])["Body"].read() for each in found}


def test_a_file_that_is_no_font_is_named_and_the_film_is_made(shop: Shop, film: Path, tmp_path: Path) -> None:
    from matplotlib import get_data_path

    fonts = [str(Path(get_data_path()) / "fonts" / "ttf" / "STIXGeneral.ttf"), written(tmp_path, "a.ttf", b"no" * 99)]
    params = {"subtitles_uri": written(tmp_path, "words.srt", SRT), "font_uris": fonts}
    job = shop.made("encode", str(film), params | QUICK)
    times, seen = pictures(shop.result(job, tmp_path))
    assert marked(seen) == [1.0 <= time < 1.48 or 2.0 <= time < 2.2 for time in times]
    assert job.warnings == ["font_uris.1 is no font that can be read: it is left out. Give an .otf or .ttf file."]


def test_a_further_input_that_is_missing_is_named(shop: Shop, film: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound, match="audio_uri: There is no file"):
        shop.made("encode", str(film), {"audio_uri": str(tmp_path / "nothing.wav")})


@pytest.mark.parametrize("params", [{"language": "english"}, {"font_uris": "x"}, {"audio_uri": ""}, {"subtitels": "x"}])
def test_bad_parameters_are_named(params: dict[str, Any]) -> None:
    with pytest.raises(InvalidParams, match=next(iter(params))):
        ENCODE.parse_params(params)
