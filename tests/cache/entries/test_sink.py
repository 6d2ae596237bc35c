from __future__ import annotations

import os
from pathlib import Path

import pytest

from cache.entries.sink import Sink


def test_what_is_written_is_read_back_and_beyond_the_end_are_zeros(tmp_path: Path) -> None:
    sink = Sink(tmp_path / "a")
    assert sink.write(b"abcdef") == 6
    assert sink.seek(-2, os.SEEK_END) == sink.tell() == 4
    buffer = bytearray(b"xxxxx")
    assert sink.readinto(buffer) == 5
    assert bytes(buffer) == b"ef\0\0\0"
    assert sink.seek(-8, os.SEEK_CUR) == 1
    assert sink.truncate() == 1
    assert sink.seek(0, os.SEEK_END) == 1
    sink.flush()
    sink.close()
    sink.close()
    assert (tmp_path / "a").read_bytes() == b"a"


def test_an_existing_file_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with pytest.raises(FileExistsError, match="a"):
        Sink(tmp_path / "a")


def test_after_the_first_error_hdf5_believes_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Sink(tmp_path / "a")
    sink.write(b"abc")
    first = KeyboardInterrupt()

    def interrupted(descriptor: int, data: bytes, offset: int) -> int:
        raise first

    monkeypatch.setattr(os, "pwrite", interrupted)
    assert sink.write(b"defg") == 4
    monkeypatch.undo()
    assert sink.error is first
    assert sink.write(b"hi") == 2
    assert sink.truncate(1) == 1
    assert sink.seek(0, os.SEEK_END) == 1  # what HDF5 believes
    sink.close()
    assert sink.readinto(bytearray(3)) == 3
    assert sink.error is first
    assert (tmp_path / "a").read_bytes() == b"abc"


def test_a_write_that_takes_several_calls_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, data[:2], offset))
    sink = Sink(tmp_path / "a")
    sink.write(b"abcdefg")
    sink.close()
    assert (tmp_path / "a").read_bytes() == b"abcdefg"
