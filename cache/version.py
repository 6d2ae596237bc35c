"""Version of avfuse, as entries and runs record it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def own_version() -> str:
    """Return avfuse's version; "not installed" where it runs from its folder alone."""
    try:
        return version("avfuse")
    except PackageNotFoundError:
        return "not installed"
