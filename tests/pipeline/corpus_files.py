"""Folders as corpora are published, of empty media and small tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def touch(root: Path, *names: str) -> None:
    """Make empty files, and the folders that they stand in."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write_texts(root: Path, texts: Mapping[str, str]) -> None:
    """Write tables by their paths below ``root``."""
    for name, text in texts.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
