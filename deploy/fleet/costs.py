"""What the steps of a job cost a worker, and how long it takes until there is one: inputs, and where they are from."""

from __future__ import annotations

from dataclasses import dataclass, replace

PIECES_A_WORKER, SHORTEST_PIECE_SEC, LONGEST_PIECE = 2, 20.0, 2  # as backend/kinds/film.py has them


@dataclass(frozen=True)
class Costs:
    """Seconds of work; `…_rate`: for a second of video. The defaults are a CPU worker's with one core to itself, as
    benchmarks.pipeline and benchmarks.fanout measured them (1080p, 30 frames/s)."""

    start_sec: float = 2.0  # from the request to chunks in the queue: the probe
    detect_rate: float = 0.34  # YOLO11n on OpenVINO, 10 samples a second, with decoding
    solve_rate: float = 0.004
    render_rate: float = 0.37  # decode, crop to 608x1080, x264 veryfast
    whole_render_rate: float = 0.37  # by the analysis worker, where no chunk worker lives
    join_rate: float = 0.002
    upload_sec: float = 1.0  # an estimate: it is the network's
    piece_fixed_sec: float = 0.7  # claim, process, seek, put and complete
    chunk_fixed_sec: float = 0.5
    chunk_sec: float = 30.0
    overlap_sec: float = 2.0  # of the next chunk, detected twice
    lookahead_sec: float = 2.1  # 64 frames of its neighbours that each piece decodes and encodes
    fanout_sec: float = 45.0  # films at least so long are rendered in pieces

    def chunks(self, video_sec: float) -> list[float]:
        """Seconds of work of each chunk."""
        lengths = divided(video_sec, self.chunk_sec)
        return [(length + self.overlap_sec) * self.detect_rate + self.chunk_fixed_sec for length in lengths]

    def pieces(self, video_sec: float, workers: int) -> list[float]:
        """Seconds of work of each piece of the film; none where it is rendered in one go."""
        if video_sec < self.fanout_sec or workers == 0:
            return []
        longest_sec = min(LONGEST_PIECE * self.chunk_sec, video_sec / (PIECES_A_WORKER * workers))
        lengths = divided(video_sec, max(SHORTEST_PIECE_SEC, longest_sec))
        return [(length + self.lookahead_sec) * self.render_rate + self.piece_fixed_sec for length in lengths]

    def solve(self, video_sec: float) -> float:
        return video_sec * self.solve_rate

    def finish(self, video_sec: float, in_pieces: bool) -> float:
        """Seconds of the analysis worker after the path is solved (and the pieces are there)."""
        return video_sec * (self.join_rate if in_pieces else self.whole_render_rate) + self.upload_sec


CPU_WORKER = Costs()
# Not measured: a GPU worker is taken to decode, scale and crop on one core at the pace measured, while detector and
# NVENC keep up.
GPU_WORKER = replace(CPU_WORKER, detect_rate=0.11, render_rate=0.10)


@dataclass(frozen=True)
class Startup:
    """From a task that is asked for to its first claim. Estimates of a GPU instance on EC2: measure yours."""

    placement_sec: float = 60.0  # until the capacity provider sees a task that has no instance
    instance_sec: float = 90.0  # boot, drivers, the ECS agent
    image_sec: float = 90.0  # pull and unpack; none on an instance that has it
    worker_sec: float = 15.0  # imports, weights, database
    linger_sec: float = 900.0  # an instance without a task: managed scaling looks for 15 minutes before it ends it

    @property
    def cold_sec(self) -> float:
        return self.placement_sec + self.instance_sec + self.image_sec + self.worker_sec

    def stretched(self, cold_sec: float) -> Startup:
        """The same parts, of a start that takes so long in all."""
        by = cold_sec / self.cold_sec
        return replace(
            self,
            placement_sec=by * self.placement_sec,
            instance_sec=by * self.instance_sec,
            image_sec=by * self.image_sec,
            worker_sec=by * self.worker_sec,
        )


@dataclass(frozen=True)
class Losses:
    """Instances that end by themselves, and what the queue does then."""

    spot_an_hour: float = 0.05  # of one spot instance; AWS tells "less than 5 %" to "more than 20 %" a month by type
    without_notice: float = 0.1  # of those: crash, or a notice nobody heard
    notice_sec: float = 120.0
    drain_sec: float = 100.0  # DRAIN_SECONDS
    lease_sec: float = 60.0  # LEASE_SECONDS: then a dead worker's chunk is queued again
    silent_sec: float = 45.0  # until a dead worker is not counted any more


def divided(video_sec: float, part_sec: float) -> list[float]:
    whole, rest = divmod(video_sec, part_sec)
    return [part_sec] * int(whole) + ([rest] if rest > 1e-9 else [])
