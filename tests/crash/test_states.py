"""Every state that a power cut may leave of each operation."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.operations import OPERATIONS
from tests.crash.states import Recording, States, record_all


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What operations need beside the watched folder."""
    folder = tmp_path_factory.mktemp("outside")
    for operation in OPERATIONS.values():
        operation.surround(folder)
    return folder


@pytest.fixture(scope="module")
def recordings(outside: Path) -> dict[str, Recording]:
    return record_all(list(OPERATIONS), outside)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_power_cut_leaves_what_was_there_or_what_is_new_and_keeps_what_was_promised(
    name: str, recordings: dict[str, Recording], outside: Path, tmp_path: Path
) -> None:
    operation = OPERATIONS[name]
    states = States(operation, recordings[name], tmp_path, outside, operation.every)
    states.check()
    print(name, states.recording.calls, states.built, states.opened, states.ended)
