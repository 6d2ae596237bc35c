"""Pictures of a clip beside its explanation, as whoever decodes videos hands them in."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any, Protocol

from PIL import Image

# Of a strip or spectrogram: more would take a browser's memory.
MAX_PIXELS = 20_000_000


class Pictures(Protocol):
    """Pictures of one clip.

    Attributes:
        strip: JPEG or PNG of frames side by side, all of one width; empty where there is none.
        times: of those frames, in seconds.
        spectrogram: grey JPEG or PNG, loud is dark, high tones at the top; None for none.
        spectrogram_span: seconds of its left and its right edge.
        why: what can't be shown, and why; empty if all is there.
    """

    @property
    def strip(self) -> bytes: ...  # noqa: D102 - in the class docstring, as are the others
    @property
    def times(self) -> Sequence[float]: ...  # noqa: D102
    @property
    def spectrogram(self) -> bytes | None: ...  # noqa: D102
    @property
    def spectrogram_span(self) -> tuple[float, float]: ...  # noqa: D102
    @property
    def why(self) -> str: ...  # noqa: D102


def embed_pictures(pictures: Pictures | None) -> dict[str, Any]:
    """Return the pictures as JSON for ``panel.js``; ``{}`` for none.

    Raises:
        ValueError: they are no JPEG or PNG, or too large.
    """
    if pictures is None:
        return {}
    embedded: dict[str, Any] = {"why": pictures.why} if pictures.why else {}
    if pictures.strip and pictures.times:
        width, height = open_picture(pictures.strip).size
        embedded["strip"] = {
            "source": _as_url(pictures.strip),
            "width": width / len(pictures.times),
            "height": height,
            "times": [round(1000 * time) for time in pictures.times],
        }
    if pictures.spectrogram:
        embedded["spectrogram"] = _as_url(pictures.spectrogram)
        embedded["spectrogramSpan"] = [round(time, 3) for time in pictures.spectrogram_span]
    return embedded


def open_picture(content: bytes) -> Image.Image:
    """Open a JPEG or PNG; its pixels are decoded when they are asked for.

    Raises:
        ValueError: it is neither, or too large.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=("JPEG", "PNG"))
    except OSError as error:
        raise ValueError(f"expected a JPEG or PNG, got {len(content)} other bytes") from error
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"a picture has {image.width}x{image.height} pixels, too many for a page")
    return image


def _as_url(content: bytes) -> str:
    kind = "jpeg" if open_picture(content).format == "JPEG" else "png"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"
