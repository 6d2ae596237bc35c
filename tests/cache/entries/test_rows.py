from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.digest import digest_array
from cache.entries import rows as module
from cache.entries import writer as entry_writer
from cache.entries.entry import Entry, EntryError
from cache.entries.rows import Rows, open_entry
from tests.cache.conftest import DIM, STEPS, WriteEntry, arrays_of


def test_slices_of_an_open_entry_are_those_of_the_whole(
    write_entry: WriteEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entry_writer, "CHUNK_BYTES", 3 * 4 * DIM)  # slices cross chunks
    arrays = arrays_of()
    with open_entry(write_entry("a", arrays), verify=True) as found:
        assert (found.entry.clip, found.entry.arrays) == ("a", {})
        assert found.entry.attributes == {"duration_seconds": 0.28}
        rows = found.rows["basic"]
        assert (rows.shape, len(rows)) == ((STEPS, DIM), STEPS)
        for start in range(STEPS + 1):
            for stop in range(start, STEPS + 2):
                assert np.array_equal(rows[start:stop], arrays["basic"][start:stop])


def test_an_open_entry_is_verified_before_a_row_is_read(write_entry: WriteEntry) -> None:
    path = write_entry("a")
    content = bytearray(path.read_bytes())
    content[-9] ^= 4
    path.write_bytes(content)
    with pytest.raises(EntryError, match=r"clip a: .* is damaged: its content"):
        open_entry(path, verify=True).__enter__()
    with pytest.raises(FileNotFoundError):
        open_entry(path.with_name("b.h5")).__enter__()


def test_a_row_that_cannot_be_read_is_an_error_of_the_entry(write_entry: WriteEntry) -> None:
    with open_entry(write_entry("a")) as found:
        rows: Rows = found.rows["basic"]
    with pytest.raises(EntryError, match=r"clip a: rows of .*a\.h5 can't be read: .*run the same"):
        rows[0:1]


def test_a_long_array_is_never_in_memory_whole(write_entry: WriteEntry, tmp_path: Path) -> None:
    steps = 200_003
    times = np.arange(steps) / 100
    path = write_entry("a", {"times": times, "basic": np.ones((steps, DIM), np.float32)})
    tracemalloc.start()
    with open_entry(path, verify=True) as found:
        total = sum(
            float(found.rows["basic"][start : start + 997].sum()) for start in range(0, steps, 997)
        )
        _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == steps * DIM
    assert peak < 3_000_000  # of 4 MB; the file is read through a mebibyte at a time


def test_an_entry_that_is_replaced_while_it_is_opened_is_opened_again(
    write_entry: WriteEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_entry("a", arrays_of(3, seed=1))
    real = module.read_entry
    new = arrays_of(5, seed=2)

    def meddle(*arguments: Any, **options: Any) -> Entry:
        found = real(*arguments, **options)
        monkeypatch.undo()
        write_entry("a", new)
        return found

    monkeypatch.setattr(module, "read_entry", meddle)
    with open_entry(path, verify=True) as found:
        assert np.array_equal(found.rows["basic"][0:5], new["basic"])
        assert found.entry.checksums["basic"] == digest_array(new["basic"])
