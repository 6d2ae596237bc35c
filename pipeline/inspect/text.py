"""Text on pictures: the font, lines that fit."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font
from PIL import ImageDraw, ImageFont

from pipeline.inspect.colours import BLACK, Colour

TEXT_SIZE = 14  # pixels
LINE_HEIGHT = 18


def write(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    *,
    room: float,
    colour: Colour = BLACK,
    bold: bool = False,
    size: int = TEXT_SIZE,
) -> float:
    """Write a line, cut to the room in pixels that there is for it.

    Args:
        draw: what to write on.
        at: left and top.
        text: any; a character that the font lacks is written as its number.
        room: width in pixels.
        colour: of the text.
        bold: take the bold font.
        size: of the font in pixels.

    Returns:
        The width of what was written.
    """
    font, known = _load_font(bold, size)
    text = "".join(c if ord(c) in known else f"\\u{ord(c):04x}" for c in text)
    if font.getlength(text) > room:
        while text and font.getlength(text + "…") > room:
            text = text[:-1]
        text += "…"
    draw.text(at, text, fill=colour, font=font)
    return font.getlength(text)


def wrap(text: str, room: float) -> list[str]:
    """Break a text into lines of at most ``room`` pixels, at spaces where there are any."""
    font, _ = _load_font(False, TEXT_SIZE)
    lines: list[str] = []
    for word in text.split():
        joined = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(joined) <= room:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines


@lru_cache
def _load_font(bold: bool, size: int) -> tuple[ImageFont.FreeTypeFont, frozenset[int]]:
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    font = ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
    return font, frozenset(FT2Font(str(path)).get_charmap())
