"""What the operations need beside the watched folder. Fixtures build; they never assert."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.operations import OPERATIONS


@pytest.fixture(scope="session")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what operations read and no test watches."""
    folder = tmp_path_factory.mktemp("outside")
    for operation in OPERATIONS.values():
        operation.surround(folder)
    return folder
