"""Every state that a power cut may leave of each operation; and writers that fail this."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cache.commit import sync_folder, temporary_path
from tests.crash.operation import Mark, Operation, Seen
from tests.crash.operations import NAMES, OPERATIONS
from tests.crash.states import Recording, States, record, record_all


@pytest.fixture(scope="module")
def recordings(outside: Path) -> dict[str, Recording]:
    """Every operation, carried out by a process that has ended since."""
    return record_all(list(OPERATIONS), outside)


@pytest.mark.parametrize("name", NAMES)
def test_a_power_cut_leaves_what_was_there_or_what_is_new_and_keeps_what_was_promised(
    name: str, recordings: dict[str, Recording], outside: Path, tmp_path: Path
) -> None:
    states = States(OPERATIONS[name], recordings[name], tmp_path, outside)
    states.check()
    assert states.built >= 20
    assert states.opened >= 5


CONTENT = bytes(range(256)) * 9


def write(path: Path, content: bytes, *, flush: bool = True) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.write(descriptor, content[:1000])
    os.write(descriptor, content[1000:])
    if flush:
        os.fsync(descriptor)
    os.close(descriptor)


def write_well(path: Path) -> None:
    temporary = temporary_path(path)
    write(temporary, CONTENT)
    temporary.rename(path)
    sync_folder(path.parent)


def write_in_place(path: Path) -> None:
    write(path, CONTENT)
    sync_folder(path.parent)


def never_flush_the_file(path: Path) -> None:
    temporary = temporary_path(path)
    write(temporary, CONTENT, flush=False)
    temporary.rename(path)
    sync_folder(path.parent)


def never_flush_the_folder(path: Path) -> None:
    temporary = temporary_path(path)
    write(temporary, CONTENT)
    temporary.rename(path)


def flush_before_the_last_write(path: Path) -> None:
    temporary = temporary_path(path)
    write(temporary, CONTENT[:-1])
    with temporary.open("ab") as file:
        file.write(CONTENT[-1:])
    temporary.rename(path)
    sync_folder(path.parent)


def remove_first(path: Path) -> None:
    path.unlink()
    write_well(path)


def make_a_folder_and_flush_only_it(path: Path) -> None:
    (path.parent / "new").mkdir()
    write_well(path.parent / "new" / path.name)
    path.unlink()
    sync_folder(path.parent / "new")


def looked_at(folder: Path) -> Seen:
    found: Iterator[Path] = folder.rglob("file")
    contents = [path.read_bytes() for path in found]
    assert set(contents) <= {b"old", CONTENT}, "half a file"
    return {"file": contents[0]} if contents else {}


def check(write: Callable[[Path], None], folder: Path) -> None:
    def act(root: Path, _outside: Path, mark: Mark) -> None:
        write(root / "file")
        mark()

    def prepare(root: Path, _outside: Path) -> None:
        (root / "file").write_bytes(b"old")

    operation = Operation("a file", act, looked_at, prepare, every=0)
    recording = record(operation, folder / "recorded", folder)
    States(operation, recording, folder, folder).check()


def test_a_careful_writer_is_not_blamed(tmp_path: Path) -> None:
    check(write_well, tmp_path)


@pytest.mark.parametrize(
    "careless",
    [
        write_in_place,
        never_flush_the_file,
        never_flush_the_folder,
        flush_before_the_last_write,
        remove_first,
        make_a_folder_and_flush_only_it,
    ],
)
def test_a_careless_writer_is_found(careless: Callable[[Path], None], tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="a file: cut after step"):
        check(careless, tmp_path)
