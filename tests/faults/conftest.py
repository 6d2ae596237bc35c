"""The files of the situations, where they are at hand. Fixtures build; they never assert."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def faults(data: Path) -> Path:
    """The folder of faulty inputs that lies beside the real data."""
    folder = data.parent / "faults"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; it holds the inputs that went wrong")
    return folder
