"""Fixtures shared by all tests. Fixtures build; they never assert."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real clips, sound and scores that AVFUSE_TEST_DATA names."""
    folder = os.environ.get("AVFUSE_TEST_DATA")
    if not folder:
        pytest.skip("AVFUSE_TEST_DATA does not name the folder of real clips")
    path = Path(folder).resolve()
    if not (path / "clips").is_dir():
        pytest.fail(f"AVFUSE_TEST_DATA={folder} has no folder clips")
    return path
