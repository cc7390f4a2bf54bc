"""HDR through the kinds that show the whole picture: tone-mapped to SDR, or kept with its tags."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from backend.kinds.downsample import DOWNSAMPLE
from backend.kinds.encode import ENCODE
from tests.integration.conftest import read_film
from tests.integration.kinds.shop import Shop
from tests.integration.rendering import decoded_pts
from tests.integration.test_render import luma_of
from tests.integration.whole_films import ffmpeg, made

QUICK = {"preset": "ultrafast", "crf": 8}
BT709, HDR10 = (1, 1, 1, 1), (9, 16, 9, 1)  # primaries, transfer, matrix, range
SDR_WHITE, PQ_WHITE = 235, round(64 + 876 * 0.58)  # 203 cd/m² in PQ, as ITU-R BT.2408 has it
ASKED = [(DOWNSAMPLE, {"resolution": 90}, (160, 90), 0), (ENCODE, {}, (320, 180), 2)]  # in one go, and in pieces
DARK = 300
WORDS = "1\n00:00:00,000 --> 00:00:05,000\n████████\n"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of reference white over something dark, as HDR10 with its metadata, and a tone."""
    path = tmp_path_factory.mktemp("hdr") / "hdr10.mp4"
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    colours = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:range=limited"
    params = f"log-level=error:hdr10=1:master-display={display}:max-cll=1000,400:{colours}"
    coded = ("-c:v", "libx265", "-preset", "ultrafast", "-crf", 4, "-pix_fmt", "yuv420p10le", "-x265-params", params)
    grey = f"nullsrc=s=320x180:r=25:d=1,format=yuv420p10le,geq=lum='if(lt(Y,90),{PQ_WHITE},{DARK})':cb=512:cr=512"
    ffmpeg("-f", "lavfi", "-i", grey, "-f", "lavfi", "-i", "sine=r=48000:d=1", *coded, "-tag:v", "hvc1", path)
    return path


@pytest.mark.parametrize(("kind", "params", "size", "workers"), ASKED, ids=[kind.name for kind, *_ in ASKED])
def test_hdr_becomes_sdr_of_the_same_brightness(
    source: Path, tmp_path: Path, kind: object, params: dict[str, object], size: tuple[int, int], workers: int
) -> None:
    film = made(kind, source, tmp_path / "job", workers, **params, **QUICK)  # type: ignore[arg-type]
    shown = read_film(film.path)
    assert (shown.codec, shown.pix_fmt, shown.size, shown.color) == ("h264", "yuv420p", size, BT709)
    assert decoded_pts(film.path) == decoded_pts(source)
    assert shown.audio_sec == pytest.approx(1, abs=0.05)
    for luma in luma_of(film.path):
        assert 195 <= luma[: size[1] // 3].mean() <= 225


@pytest.mark.parametrize(("kind", "params", "size", "workers"), ASKED, ids=[kind.name for kind, *_ in ASKED])
def test_hdr_is_kept_with_its_tags_when_asked(
    source: Path, tmp_path: Path, kind: object, params: dict[str, object], size: tuple[int, int], workers: int
) -> None:
    film = made(kind, source, tmp_path / "job", workers, hdr="keep", **params, **QUICK)  # type: ignore[arg-type]
    shown = read_film(film.path)
    assert (shown.codec, shown.pix_fmt, shown.size, shown.color) == ("hevc", "yuv420p10le", size, HDR10)
    assert decoded_pts(film.path) == decoded_pts(source)
    for luma in luma_of(film.path):
        assert luma[: size[1] // 3].mean() == pytest.approx(PQ_WHITE, abs=3)
    with av.open(str(film.path)) as container:
        frame = next(container.decode(video=0))
        assert bytes(frame.side_data["CONTENT_LIGHT_LEVEL"])[:4] == (1000).to_bytes(4, "little")


@pytest.mark.parametrize(("hdr", "white"), [("sdr", SDR_WHITE), ("keep", PQ_WHITE)])
def test_subtitles_on_hdr_are_as_white_as_the_film_s_white(
    shop: Shop, source: Path, tmp_path: Path, hdr: str, white: int
) -> None:
    """And no brighter: white of SDR would be 10,000 cd/m² there."""
    (tmp_path / "words.srt").write_text(WORDS)
    params = {"subtitles_uri": str(tmp_path / "words.srt"), "hdr": hdr, **QUICK}
    job = shop.made("encode", str(source), params)
    below = luma_of(shop.result(job, tmp_path))[12][110:]
    letters = below[below > white * 0.85]
    assert len(letters) > 300
    assert np.median(letters) == pytest.approx(white, rel=0.02)
    assert letters.max() < white * 1.1
