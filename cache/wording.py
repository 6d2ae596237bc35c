"""Wording of messages: counts with their nouns, lists, and text that is safe to look at."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# Control characters but for line ends and tabs, marks and overrides that turn the direction of
# writing around, and halves of surrogates, as which bytes of names that aren't UTF-8 are read.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def show_controls(text: str) -> str:
    r"""Return text with its control characters visible: ``\x1b`` for an escape.

    Those from 0x7f on are written as JSON does, ``\u202e``, so that JSON reads back as it was.
    """
    return text if text.isprintable() else _CONTROLS.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x7F else f"\\u{code:04x}"


def number_of(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless it is 1: ``1 clip``, ``2 clips``."""
    if number == 1:
        return f"{number} {noun}"
    if noun.endswith("y"):
        return f"{number} {noun[:-1]}ies"
    return f"{number} {noun}{'es' if noun.endswith('s') else 's'}"


def name_some(names: Iterable[str], limit: int = 8) -> str:
    """Join names for a message, at most ``limit`` of them."""
    listed = list(names)
    rest = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + rest


def name_by_reason(reasons: Mapping[str, str]) -> str:
    """Name clips with their reasons, those of one reason together.

    Args:
        reasons: clip to reason.

    Returns:
        Text such as ``a, b (no face); c (no sound)``, at most 8 clips of each of 8 reasons.
    """
    groups: dict[str, list[str]] = {}
    for clip, reason in reasons.items():
        groups.setdefault(reason, []).append(clip)
    named = [f"{name_some(clips)} ({reason})" for reason, clips in groups.items()]
    return "; ".join(named[:8]) + (f"; and {len(named) - 8} more reasons" if named[8:] else "")
