"""Explanations with numbers that can be worked out, for the tests of what draws them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from trainer.explain.explanation import Explanation, Windows
from trainer.explain.panel import Panel
from trainer.training.predict import Attention

CLASSES = ("angry", "happy", "sad")


@dataclass(frozen=True)
class GivenPictures:
    """Pictures of a clip."""

    strip: bytes = b""
    times: tuple[float, ...] = ()
    spectrogram: bytes | None = None
    spectrogram_span: tuple[float, float] = (0.0, 0.0)
    why: str = ""


def make_explanation(clip: str = "c1", **changes: Any) -> Explanation:
    """Explain a clip of 2 s: the video's attention rises, the third of five windows is happy."""
    video = np.arange(1.0, 51.0)
    happy = np.array([0.1, 0.2, 0.8, 0.2, 0.1])
    values: dict[str, Any] = {
        "clip": clip,
        "label": "sad",
        "prediction": "happy",
        "probabilities": np.array([0.2, 0.5, 0.3]),
        "classes": CLASSES,
        "attention": {
            "video": Attention(np.arange(50) / 25, video / video.sum()),
            "audio": Attention(np.arange(200) / 100, np.full(200, 1 / 200)),
        },
        "windows": Windows(
            np.arange(0.5, 1.75, 0.25), np.stack([0.5 - happy / 2, happy, 0.5 - happy / 2], 1), 1.0
        ),
        "num_heads": 2,
        "fold": 3,
    }
    return Explanation(**{**values, **changes})


def make_pictures(**changes: Any) -> GivenPictures:
    """Draw four frames, the first red, at a quarter of the second and so on, and a spectrogram."""
    strip = Image.new("RGB", (4 * 20, 30), "grey")
    strip.paste("red", (0, 0, 20, 30))
    values: dict[str, Any] = {
        "strip": encode(strip),
        "times": (0.25, 0.75, 1.25, 1.75),
        "spectrogram": encode(Image.linear_gradient("L").resize((50, 20))),
        "spectrogram_span": (0.0, 2.0),
    }
    return GivenPictures(**{**values, **changes})


def encode(image: Image.Image) -> bytes:
    """Encode as PNG."""
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


def make_panel(clip: str = "c1", *, second: bool = False, **changes: Any) -> Panel:
    """Put an explanation and its pictures together, and where asked a second run's."""
    other = make_explanation(clip, prediction="angry", attention={}) if second else None
    names = ("fusion", "video") if second else ("fusion",)
    return Panel(make_explanation(clip, **changes), other, make_pictures(), names)
