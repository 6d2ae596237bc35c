"""Ranges that settings are checked against; nan is in none of them."""

from __future__ import annotations


def check_at_least(least: float, settings: object, *names: str) -> None:
    """Refuse settings below ``least``.

    Raises:
        ValueError: one of the fields named is.
    """
    for name in names:
        if not getattr(settings, name) >= least:
            raise ValueError(f"{name} must be at least {least}, got {getattr(settings, name)}")


def check_shares(settings: object, *names: str) -> None:
    """Refuse settings that aren't at least 0 and below 1.

    Raises:
        ValueError: one of the fields named isn't.
    """
    for name in names:
        if not 0.0 <= getattr(settings, name) < 1.0:
            raise ValueError(
                f"{name} must be at least 0 and below 1, got {getattr(settings, name)}"
            )
