"""Panel of one clip, as data for ``panel.js`` and for a figure; the files that draw it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from trainer.explain.explanation import POINTS, Explanation
from trainer.explain.pictures import Pictures, embed_pictures

# What ends a script or a line of one, as JSON may write it.
_ESCAPES = {ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"}


@dataclass(frozen=True)
class Panel:
    """Explanations and pictures of one clip, to be drawn together.

    Args:
        first: its explanation by a run.
        second: that by another run, drawn dashed over the first; None for none.
        pictures: of the clip; None for none.
        runs: names of the run, and of the second where there is one.
    """

    first: Explanation
    second: Explanation | None = None
    pictures: Pictures | None = None
    runs: tuple[str, ...] = ("",)

    def to_json(self, points: int = POINTS) -> dict[str, Any]:
        """Return what ``drawPanel`` takes: ``explanation``, ``second`` and ``pictures``."""
        explanations = [
            {**one.to_json(points), "run": name}
            for one, name in zip((self.first, self.second), (*self.runs, ""), strict=False)
            if one is not None
        ]
        return {
            "explanation": explanations[0],
            "second": explanations[1] if self.second else None,
            "pictures": embed_pictures(self.pictures),
        }


def embed_json(value: Any) -> str:
    """Write JSON that can stand in an HTML page's script element, whatever text is in it."""
    written = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return written.translate(_ESCAPES)
