from __future__ import annotations

import contextlib
import hashlib
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import cache.entries.sealed
from cache.entries.entry import (
    EntryError,
    find_length_problem,
    read_entry,
    read_entry_header,
    verify_entry,
)
from cache.entries.sealed import HEADER_BYTES
from cache.entries.source import Source
from tests.cache.conftest import DIM, STEPS, WriteEntry, arrays_of


def reseal(path: Path) -> None:
    """Make header and content agree again, as someone who tampers would."""
    content = path.read_bytes()
    first, line, _ = content.split(b"\n", 2)
    fields = json.loads(line)
    body = content[HEADER_BYTES:]
    fields |= {"body_bytes": len(body), "body_sha256": hashlib.sha256(body).hexdigest()}
    text = first + b"\n" + json.dumps(fields).encode() + b"\n"
    seal = hashlib.sha256(text).hexdigest().encode() + b"\n"
    path.write_bytes((text + seal).ljust(HEADER_BYTES, b"\0") + body)


def test_an_entry_is_read_back_with_all_it_was_written_with(
    write_entry: WriteEntry, source: Source
) -> None:
    arrays = arrays_of()
    entry = read_entry(write_entry("a", arrays), verify=True)
    assert entry.clip == "a"
    assert entry.state == "ok"
    assert entry.missing == ()
    assert entry.attributes == {"duration_seconds": 0.28}
    assert entry.provenance == {"host": "here"}
    assert entry.source == source
    assert entry["basic"].shape == (STEPS, DIM)
    assert all(np.array_equal(entry[name], array) for name, array in arrays.items())


def test_only_the_arrays_asked_for_are_read(write_entry: WriteEntry) -> None:
    path = write_entry("a")
    assert list(read_entry(path, ["basic"]).arrays) == ["basic"]
    assert read_entry(path, []).arrays == {}
    assert set(read_entry(path, []).checksums) == {"times", "basic"}


def test_an_array_that_is_not_there_is_named_with_those_that_are(write_entry: WriteEntry) -> None:
    path = write_entry("a")
    with pytest.raises(EntryError, match=r"clip a: .* has no array mean, std; it has times, basic"):
        read_entry(path, ["mean", "basic", "std"])


def test_a_missing_entry_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    for read in (read_entry, read_entry_header, verify_entry):
        with pytest.raises(FileNotFoundError, match="gone"):
            read(tmp_path / "gone.h5")


def test_the_header_states_what_status_and_resume_need(
    write_entry: WriteEntry, source: Source
) -> None:
    header = read_entry_header(write_entry("a", missing=("no audio stream",)))
    assert (header.clip, header.state, header.steps) == ("a", "partial", STEPS)
    assert header.source == source


def test_a_thousand_random_flips_in_the_arrays_are_all_found(write_entry: WriteEntry) -> None:
    path = write_entry("a")
    content = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        spans = [
            (dataset.id.get_offset(), dataset.nbytes) for dataset in (file["times"], file["basic"])
        ]
    generator = random.Random(17)
    for _ in range(1000):
        start, length = generator.choice(spans)
        position, bit = generator.randrange(start, start + length), 1 << generator.randrange(8)
        content[position] ^= bit
        path.write_bytes(content)
        with pytest.raises(EntryError, match=r"clip a: entry .* is damaged: its content"):
            verify_entry(path)
        with pytest.raises(EntryError, match=r"clip a: .*cache verify --remove"):
            read_entry(path, ["basic"], verify=True)
        content[position] ^= bit
    path.write_bytes(content)
    verify_entry(path)


def test_truncation_at_any_length_is_found(write_entry: WriteEntry) -> None:
    path = write_entry("a")
    content = path.read_bytes()
    for length in range(0, len(content), 13):
        path.write_bytes(content[:length])
        with pytest.raises(EntryError, match=r"clip a: entry .* is damaged"):
            read_entry(path)


def test_an_array_that_was_changed_and_sealed_again_is_found_by_its_own_checksum(
    write_entry: WriteEntry,
) -> None:
    path = write_entry("a")
    with h5py.File(path, "r+") as file:
        file["basic"][3, 2] += 1
    reseal(path)
    read_entry(path, ["times"], verify=True)
    for read in (verify_entry, lambda path: read_entry(path, ["basic"], verify=True)):
        with pytest.raises(EntryError, match="array basic doesn't match its checksum"):
            read(path)


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("clip", b"b", "header and its attributes disagree"),
        ("key", b"0" * 64, "header and its attributes disagree"),
        ("state", b"partial", "header and its attributes disagree"),
        ("source", b'{"mtime_ns":1,"sha256":"0","size":1}', "header and its attributes disagree"),
        ("missing", b'["x"]', "attributes don't match their checksum"),
        ("attributes", b"{}", "attributes don't match their checksum"),
        ("provenance", b"{}", "attributes don't match their checksum"),
        ("checksum", b"0" * 64, "attributes don't match their checksum"),
        ("missing", b"[", "is damaged: not JSON: Expecting value"),
        ("source", b"{}", r"is damaged: source\.size is missing, expected a whole number"),
        ("missing", b"\xff", "is damaged: 'ascii' codec"),
    ],
)
def test_an_attribute_that_was_changed_and_sealed_again_is_found(
    name: str, value: bytes, match: str, write_entry: WriteEntry
) -> None:
    path = write_entry("a")
    with h5py.File(path, "r+") as file:
        file.attrs[name] = np.bytes_(value)
    reseal(path)
    with pytest.raises(EntryError, match=match):
        verify_entry(path)


def test_an_entry_without_times_or_with_a_short_array_is_found(write_entry: WriteEntry) -> None:
    path = write_entry("a")
    with h5py.File(path, "r+") as file:
        del file["times"]
    reseal(path)
    with pytest.raises(EntryError, match="attributes don't match their checksum"):
        verify_entry(path)
    assert find_length_problem({"basic": 3}) == "it has no array times"
    assert find_length_problem({"times": 3, "basic": 2}) == ("array basic has 2 steps, times has 3")
    assert find_length_problem({"times": 3, "basic": 3, "g/a": 5, "g/b": 5}) is None


def test_an_entry_under_another_clips_name_is_found(write_entry: WriteEntry) -> None:
    path = write_entry("a")
    other = path.with_name("b.h5")
    shutil.copy(path, other)
    with pytest.raises(EntryError, match=r"clip b: entry .* is damaged: it belongs to clip a"):
        verify_entry(other)


def test_a_file_that_is_not_an_entry_is_damage_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(EntryError, match=r"clip a: .* starts with b'garbage"):
        read_entry(path)
    with h5py.File(path, "w") as file:
        file["times"] = np.arange(3.0)
    with pytest.raises(EntryError, match=r"clip a: .*instead of 'avfuse entry 2'"):
        read_entry(path)


def test_hdf5_damage_behind_a_good_seal_is_an_error_or_no_harm(write_entry: WriteEntry) -> None:
    path = write_entry("a")
    content = path.read_bytes()
    found = 0
    for position in range(HEADER_BYTES, len(content), 29):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        reseal(path)
        # Bytes that HDF5 does not use may change; nothing else than EntryError may come out.
        with contextlib.suppress(EntryError):
            read_entry(path)
            found -= 1
        found += 1
    assert found > 10


@pytest.mark.parametrize("look", [verify_entry, lambda path: read_entry(path, verify=True)])
def test_an_entry_that_is_replaced_while_it_is_read_is_read_again_and_is_not_damage(
    look: Callable[[Path], object],
    write_entry: WriteEntry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = write_entry("a", arrays_of(seed=5)).replace(tmp_path / "other")
    path = write_entry("a")
    real, replaced = cache.entries.sealed.digest_file, []

    def digest_file(file: Path, *, start: int = 0) -> str:
        # Between the header and the body, once.
        if not replaced:
            replaced.append(other.replace(path))
        return real(file, start=start)

    monkeypatch.setattr(cache.entries.sealed, "digest_file", digest_file)
    look(path)
    assert replaced
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(EntryError, match="is damaged"):
        look(path)
