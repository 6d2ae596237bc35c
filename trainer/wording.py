"""Wording of lists of clips and speakers in messages and reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


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
