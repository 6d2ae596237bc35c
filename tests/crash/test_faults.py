"""Every call of each operation fails once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.faults import Faults
from tests.crash.operations import NAMES, OPERATIONS


@pytest.mark.parametrize("name", NAMES)
def test_a_call_that_fails_costs_one_clear_error_and_the_same_command_goes_on(
    name: str, outside: Path, tmp_path: Path
) -> None:
    operation = OPERATIONS[name]
    faults = Faults(operation, tmp_path, outside)
    faults.check()
    assert faults.tried >= min(10, faults.calls // faults.every)
