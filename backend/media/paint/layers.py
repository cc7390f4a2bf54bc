"""The layers that an order can name. A new one: its order and painter in a module here, one line in each of the two
places below."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Protocol

from av.video.frame import VideoFrame
from pydantic import Field

from backend.media.paint.highlight import Blur, BlurOrder, Spotlight, SpotlightOrder
from backend.media.paint.marks_order import MarksOrder
from backend.media.paint.skeleton import Skeleton, SkeletonOrder
from backend.media.paint.subtitles import Subtitles, SubtitlesOrder
from backend.media.resample import Window

LayerOrder = Annotated[
    BlurOrder | MarksOrder | SpotlightOrder | SkeletonOrder | SubtitlesOrder, Field(discriminator="type")
]


class Painter(Protocol):
    def paint(self, picture: VideoFrame, window: Window, number: int, pts: int) -> None:
        """Draws in place on the 4:2:0 planes, of the output's size and of 8 bits (10 where HDR is kept), that will be
        encoded; colour.tags_of(picture) says what their samples mean.

        The whole picture shows `window` of the upright source. `pts` is the frame's, on the source's clock; `number`
        counts the rows of the order's path, which are those of one piece where a film is rendered in pieces.
        """


def painter_of(order: LayerOrder) -> Painter:
    match order:
        case BlurOrder():
            return Blur(order)
        case MarksOrder():
            from backend.media.paint.marks import Marks  # see load_painters

            return Marks(order)
        case SpotlightOrder():
            return Spotlight(order)
        case SkeletonOrder():
            return Skeleton(order)
        case SubtitlesOrder():
            return Subtitles(order)


def load_painters(orders: Iterable[Mapping[str, Any]]) -> None:
    """While files can be opened: what some need takes a second to load, and is loaded for them alone."""
    if any(order["type"] == MarksOrder.model_fields["type"].default for order in orders):
        import backend.media.paint.marks  # noqa: F401


def painters_of(orders: Sequence[LayerOrder]) -> list[Painter]:
    """In the order in which they draw, one over the other."""
    return [painter_of(order) for order in orders]
