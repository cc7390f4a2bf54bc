"""Chunked tracking names people as one pass over the whole video does."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import ArtifactCorrupt
from backend.vision.artifacts import ChunkArtifact, SourceId, TrackRecord
from backend.vision.stitch import Track, interpolate, pairwise_iou, stitch

FRAME_TICKS = 40
SAMPLE_TICKS = 120
OVERLAP_TICKS = 20 * SAMPLE_TICKS

Person = Callable[[int], list[float] | None]


def chunk(index: int, edges: list[int], people: list[Person], **changes: object) -> ChunkArtifact:
    """What a worker would find: local ids in another order in each chunk, samples going on into the overlap."""
    start, end, last = edges[index], edges[index + 1], edges[-1]
    sampled = [pts for pts in range(0, last, SAMPLE_TICKS) if start <= pts < min(last, end + OVERLAP_TICKS)]
    tracks = []
    for number, person in enumerate(people if index % 2 == 0 else people[::-1]):
        seen = [(pts, box) for pts in sampled if (box := person(pts)) is not None]
        if seen:
            pts_list, boxes = [pts for pts, _ in seen], [box for _, box in seen]
            record = TrackRecord(id=number + 10 * index, pts=pts_list, boxes=boxes, confidence=[0.8] * len(seen))
            tracks.append(record)
    fields: dict[str, object] = {
        "job_id": "job",
        "chunk_index": index,
        "source": SourceId(etag="e", size=1),
        "params_sha256": "0" * 64,
        "time_base": [1, 1000],
        "start_pts": start,
        "end_pts": end,
        "frame_size": [1920, 1080],
        "detector": {},
        "frame_pts": list(range(-(-start // FRAME_TICKS) * FRAME_TICKS, end, FRAME_TICKS)),
        "sampled_pts": sampled,
        "tracks": tracks,
        "detections": [],
    }
    return ChunkArtifact(**{**fields, **changes})  # type: ignore[arg-type]


def chunks(edges: list[int], *people: Person) -> list[ChunkArtifact]:
    return [chunk(index, edges, list(people)) for index in range(len(edges) - 1)]


def walker(x0: float, px_per_tick: float, first: int = 0, last: int = 10**9) -> Person:
    def box(pts: int) -> list[float] | None:
        x = x0 + px_per_tick * pts
        return [x, 300.0, x + 100.0, 700.0] if first <= pts <= last else None

    return box


def as_tuples(tracks: list[Track]) -> list[tuple[int, list[int], list[list[float]]]]:
    return [(track.id, track.pts.tolist(), track.boxes.tolist()) for track in tracks]


@settings(max_examples=30, deadline=None)
@given(
    inner=st.lists(st.integers(20, 480), unique=True, max_size=6),
    speeds=st.lists(st.floats(-0.01, 0.01), min_size=1, max_size=4),
)
def test_chunked_tracks_equal_a_single_pass_wherever_the_seams_are(inner: list[int], speeds: list[float]) -> None:
    people = [walker(400.0 * number, speed) for number, speed in enumerate(speeds)]
    edges = [0, *sorted(cut * FRAME_TICKS for cut in inner), 20_000]
    chunked, single = stitch(chunks(edges, *people)), stitch(chunks([0, 20_000], *people))
    by_path = sorted(as_tuples(chunked), key=lambda item: item[2]), sorted(as_tuples(single), key=lambda item: item[2])
    assert [item[1:] for item in by_path[0]] == [item[1:] for item in by_path[1]]
    assert [track.id for track in chunked] == list(range(1, len(people) + 1))


def test_two_people_who_cross_at_a_seam_keep_their_ids() -> None:
    left, right = walker(200.0, 0.1), walker(1000.0, -0.1)  # they meet at 4,000 ticks
    tracks = stitch(chunks([0, 4_000, 8_000], left, right))
    assert len(tracks) == 2
    assert all(len(track.pts) == len(range(0, 8_000, SAMPLE_TICKS)) for track in tracks)
    assert {tuple(np.sign(np.diff(track.boxes[:, 0])).tolist()[:3]) for track in tracks} == {(1, 1, 1), (-1, -1, -1)}
    assert all(len(set(np.sign(np.diff(track.boxes[:, 0])))) == 1 for track in tracks)


def test_overlap_samples_come_from_the_warm_chunk() -> None:
    first, second = chunks([0, 4_000, 8_000], walker(500.0, 0.0))
    warm = first.tracks[0].model_copy(update={"confidence": [0.9] * len(first.tracks[0].pts)})
    [track] = stitch([first.model_copy(update={"tracks": [warm]}), second])
    in_overlap = (track.pts >= 4_000) & (track.pts < 4_000 + OVERLAP_TICKS)
    assert set(track.confidence[in_overlap]) == {0.9}
    assert set(track.confidence[track.pts >= 4_000 + OVERLAP_TICKS]) == {0.8}


def test_someone_seen_only_before_the_seam_and_someone_only_after_stay_two() -> None:
    tracks = stitch(chunks([0, 4_000, 8_000], walker(100.0, 0.0, last=3_000), walker(1500.0, 0.0, first=5_000)))
    assert [(track.id, int(track.pts[0])) for track in tracks] == [(1, 0), (2, 5_040)]


def test_an_unmatched_track_in_the_overlap_is_not_counted_twice() -> None:
    """The later chunk sees the person 40 px off, too far to be matched and too near to be somebody else."""
    first = chunk(0, [0, 4_000, 8_000], [walker(500.0, 0.0)])
    second = chunk(1, [0, 4_000, 8_000], [walker(540.0, 0.0)])
    tracks = stitch([first, second])
    every_pts = np.concatenate([track.pts for track in tracks])
    assert len(every_pts) == len(set(every_pts.tolist()))


def test_someone_whom_only_the_warm_chunk_sees_in_the_overlap_is_kept() -> None:
    first = chunk(0, [0, 4_000, 8_000], [walker(100.0, 0.0), walker(1500.0, 0.0, last=5_000)])
    second = chunk(1, [0, 4_000, 8_000], [walker(100.0, 0.0)])
    assert [int(track.pts[-1]) for track in stitch([first, second])] == [7_920, 4_920]


def test_a_later_fragment_of_a_matched_person_is_not_counted_twice() -> None:
    first, second = chunks([0, 4_000, 8_000], walker(500.0, 0.0))
    whole = second.tracks[0]
    parts = [
        TrackRecord(id=1, pts=whole.pts[:4], boxes=whole.boxes[:4], confidence=whole.confidence[:4]),
        TrackRecord(id=2, pts=whole.pts[4:], boxes=whole.boxes[4:], confidence=whole.confidence[4:]),
    ]
    [track] = stitch([first, second.model_copy(update={"tracks": parts})])
    assert len(track.pts) == len(range(0, 8_000, SAMPLE_TICKS))


def test_an_overlap_may_be_longer_than_the_next_chunk() -> None:
    tracks = stitch(chunks([0, 4_000, 4_400, 4_800, 9_000], walker(300.0, 0.02), walker(900.0, 0.0)))
    assert [len(track.pts) for track in tracks] == [75, 75]


def test_the_order_in_which_artifacts_come_does_not_matter() -> None:
    parts = chunks([0, 4_000, 8_000, 12_000], walker(300.0, 0.02), walker(900.0, 0.0))
    assert as_tuples(stitch(parts[::-1])) == as_tuples(stitch(parts))


def test_chunks_that_were_found_in_two_ways_are_joined_all_the_same() -> None:
    people = [walker(300.0, 0.02), walker(900.0, 0.0)]
    parts = chunks([0, 4_000, 8_000, 12_000], *people)
    unlike = [part.model_copy(update={"params_sha256": f"{index}" * 64}) for index, part in enumerate(parts)]
    assert as_tuples(stitch(unlike)) == as_tuples(stitch(parts))


def test_nothing_in_gives_nothing() -> None:
    assert stitch([]) == []
    assert stitch(chunks([0, 4_000, 8_000])) == []


@pytest.mark.parametrize(
    "change",
    [
        {"chunk_index": 2},
        {"start_pts": 4_040, "frame_pts": [], "sampled_pts": [], "tracks": []},
        {"source": SourceId(etag="other", size=1)},
        {"time_base": [1, 90_000]},
        {"frame_size": [640, 360]},
    ],
)
def test_artifacts_that_do_not_belong_together_are_refused(change: dict[str, object]) -> None:
    edges = [0, 4_000, 8_000]
    with pytest.raises(ArtifactCorrupt):
        stitch([chunk(0, edges, [walker(0.0, 0.0)]), chunk(1, edges, [walker(0.0, 0.0)], **change)])


def test_interpolation_has_a_row_on_every_frame_between_the_samples() -> None:
    late = 2**60  # where floats no longer tell neighbouring ticks apart
    boxes = np.array([[0.0, 0, 10, 10], [30, 0, 40, 10]])
    track = Track(1, np.array([late, late + 30]), boxes, np.array([1.0, 0.4]))
    dense = interpolate(track, np.arange(late - 20, late + 60, 10))
    assert dense.pts.tolist() == [late, late + 10, late + 20, late + 30]
    assert dense.boxes[:, 0].tolist() == pytest.approx([0, 10, 20, 30])
    assert dense.confidence.tolist() == pytest.approx([1.0, 0.8, 0.6, 0.4])


def test_iou_of_boxes_without_area_is_zero() -> None:
    assert pairwise_iou(np.array([5.0, 5, 5, 5]), np.array([5.0, 5, 5, 5])) == 0
    assert pairwise_iou(np.array([0.0, 0, 2, 2]), np.array([1.0, 0, 3, 2])) == pytest.approx(1 / 3)


def test_someone_who_leaves_one_sample_after_the_seam_is_one_person() -> None:
    edges = [0, 4_000, 8_000]
    leaves, stays = walker(500.0, 0.0, last=4_100), walker(1500.0, 0.0)
    [first, second] = chunks(edges, leaves, stays)
    assert sorted(len(track.pts) for track in stitch([first, second])) == [35, 67]


def test_what_only_the_cold_tracker_sees_in_the_overlap_begins_after_it() -> None:
    edges = [0, 4_000, 8_000]
    tracks = stitch([chunk(0, edges, []), chunk(1, edges, [walker(500.0, 0.0)])])
    assert [int(track.pts[0]) for track in tracks] == [4_080 + OVERLAP_TICKS]
