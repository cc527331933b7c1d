"""Draw the brand images: a wall charger whose cable ends in a plug, with a live spark.

The motif is the project's own, not the vendor's logo. Run it with the project's Python:
`.venv/bin/python scripts/draw_brand.py`. Images are drawn at four times their size and then
scaled down, which smooths the edges.
"""

from pathlib import Path

from PIL import Image, ImageDraw

_BRAND = Path(__file__).resolve().parents[1] / "custom_components" / "zaptec" / "brand"
_OVERSAMPLING = 4
_UNITS = 256

_TEAL = (12, 122, 132, 255)
_DEEP = (8, 60, 74, 255)
_WHITE = (255, 255, 255, 255)
_SPARK = (255, 200, 46, 255)
_CLEAR = (0, 0, 0, 0)


class _Canvas:
    """A picture with a coordinate system of 256 units, independent of its size in pixels."""

    def __init__(self, size: int) -> None:
        self._pixels = size * _OVERSAMPLING
        self._size = size
        self._image = Image.new("RGBA", (self._pixels, self._pixels), _CLEAR)
        self._draw = ImageDraw.Draw(self._image)

    def _scaled(self, *values: float) -> list[float]:
        return [value * self._pixels / _UNITS for value in values]

    def box(self, box: tuple[float, ...], radius: float, fill: tuple[int, ...]) -> None:
        """Draw a rounded rectangle."""
        self._draw.rounded_rectangle(
            self._scaled(*box), self._scaled(radius)[0], fill=fill
        )

    def disc(self, x: float, y: float, radius: float, fill: tuple[int, ...]) -> None:
        """Draw a filled circle."""
        self._draw.ellipse(
            self._scaled(x - radius, y - radius, x + radius, y + radius), fill=fill
        )

    def shape(self, points: list[tuple[float, float]], fill: tuple[int, ...]) -> None:
        """Draw a polygon."""
        self._draw.polygon([tuple(self._scaled(*point)) for point in points], fill=fill)

    def cable(
        self, points: list[tuple[float, float]], width: float, fill: tuple[int, ...]
    ) -> None:
        """Draw a line with round joints and ends."""
        self._draw.line(
            [tuple(self._scaled(*point)) for point in points],
            fill=fill,
            width=round(self._scaled(width)[0]),
            joint="curve",
        )
        for point in points:
            self.disc(*point, width / 2, fill)

    def arc(
        self,
        center: tuple[float, float],
        radius: float,
        angles: tuple[float, float],
        width: float,
        fill: tuple[int, ...],
    ) -> None:
        """Draw a part of a ring; `radius` is measured to the middle of the line."""
        x, y = center
        outer = radius + width / 2
        self._draw.arc(
            self._scaled(x - outer, y - outer, x + outer, y + outer),
            *angles,
            fill=fill,
            width=round(self._scaled(width)[0]),
        )

    def finished(self) -> Image.Image:
        """Return the picture, scaled down to its final size."""
        return self._image.resize((self._size, self._size), Image.Resampling.LANCZOS)


def draw_icon(size: int) -> Image.Image:
    """Return the icon, `size` pixels square."""
    canvas = _Canvas(size)
    canvas.box((8, 8, 248, 248), 56, _TEAL)
    # The cable leaves the charger at the bottom, makes a bend, and goes up to the plug.
    canvas.cable([(104, 170), (104, 190)], 12, _WHITE)
    canvas.arc((144, 190), 40, (0, 180), 12, _WHITE)
    canvas.cable([(184, 190), (184, 130)], 12, _WHITE)
    # The plug with its two pins.
    canvas.box((166, 96, 202, 138), 10, _WHITE)
    canvas.box((172, 76, 180, 100), 3, _WHITE)
    canvas.box((188, 76, 196, 100), 3, _WHITE)
    # The charger, and the spark on it.
    canvas.box((62, 44, 146, 176), 28, _WHITE)
    canvas.box((72, 54, 136, 166), 20, _DEEP)
    canvas.shape(
        [(110, 70), (82, 116), (101, 116), (96, 150), (126, 102), (106, 102)], _SPARK
    )
    return canvas.finished()


def main() -> None:
    """Write the images that Home Assistant and HACS use."""
    _BRAND.mkdir(parents=True, exist_ok=True)
    for name, size in (("icon", 256), ("icon@2x", 512)):
        draw_icon(size).save(_BRAND / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
