"""Reads the number of the picture that a page shows: of a film of `tests/numbered.py`, through a canvas."""

from __future__ import annotations

from typing import Any

from tests.numbered import BITS, HEIGHT, SQUARE_PX, WIDTH

# For `locator.evaluate` and `page.evaluate`: a picture that another host's film has tainted raises SecurityError.
READ_NUMBER = f"""(shown) => {{
  const width = shown.videoWidth || shown.naturalWidth || shown.width;
  const height = shown.videoHeight || shown.naturalHeight || shown.height;
  if (!width || !height || (shown.readyState ?? 4) < 2) return null;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", {{willReadFrequently: true}});
  context.drawImage(shown, 0, 0, width, height);
  const bit = (row, column) => {{
    const x = Math.round((column + 0.5) * {SQUARE_PX} * width / {WIDTH});
    const y = Math.round((row + 0.5) * {SQUARE_PX} * height / {HEIGHT});
    const [red, green, blue] = context.getImageData(x, y, 1, 1).data;
    return red + green + blue > 381 ? 1 : 0;
  }};
  let number = 0;
  for (let column = 0; column < {BITS}; column++) {{
    if (bit(0, column) === bit(1, column)) return null;
    number = 2 * number + bit(0, column);
  }}
  return number;
}}"""


def shown_number(element: Any) -> int | None:
    """Of the picture that the locator's <video>, <img> or <canvas> shows whole; None where there is none yet, or it
    carries no number."""
    number = element.evaluate(READ_NUMBER)
    return None if number is None else int(number)
