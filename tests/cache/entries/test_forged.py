"""Records with a valid seal or checksum and a wrong field: damage, wherever they are met."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytest.importorskip("hypothesis", reason="properties are tested with hypothesis")

from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

from cache.digest import digest_json
from cache.entries.coverage import Coverage
from cache.entries.entry import (
    EntryError,
    EntryHeader,
    attributes_checksum,
    read_entry,
    read_entry_header,
    verify_entry,
)
from cache.entries.failure import Failure, FailureRecordError, read_failure, write_failure
from cache.entries.sealed import HEADER_BYTES
from cache.entries.source import Source
from cache.entries.witness import WitnessError, read_witness, write_witness
from cache.sets.feature_set import FeatureSet, SetSpec
from cache.sets.spec import SetError, read_spec_file
from cache.upkeep.diff import diff_sets
from cache.upkeep.gc import find_garbage
from cache.upkeep.merge import merge_caches
from cache.upkeep.status import read_status
from cache.upkeep.verify import verify_cache
from tests.cache.conftest import arrays_of, rows
from tests.cache.forging import forged

SOURCE = Source(11, 13, "0" * 64, 0.5, 2.0, 17, 19)
COVERAGE = {"coverage": {"rungs": {"detected": 5, "whole": 2}, "longest_gap_seconds": 0.08}}
quickly = settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> FeatureSet:
    """A set with one entry that is made from another, which has coverage, and one failure."""
    cache = tmp_path_factory.mktemp("forged")
    spec = SetSpec("ir50", {"size": 13}, 1, weights="a" * 64, upstream={"faces": "b" * 64})
    made = FeatureSet(cache, spec).create({"host": "here", "libraries": {"numpy": "2"}})
    provenance = {"host": "here", "libraries": {"numpy": "2"}}
    with made.writer(
        "a", source=SOURCE, provenance=provenance, upstream={"faces": "c" * 64}
    ) as writer:
        writer.append(**arrays_of())
        writer.finish(missing=["sound"], attributes={**COVERAGE, "fps": 25.0}, facts=COVERAGE)
    made.record_failure(Failure("d", "decode", "cut short", SOURCE, provenance=provenance))
    return made


def write_header(path: Path, content: bytes, fields: Mapping[str, Any]) -> None:
    """Give a sealed file another header, with a seal that fits."""
    text = content.split(b"\n", 1)[0] + b"\n" + json.dumps(fields).encode() + b"\n"
    block = text + hashlib.sha256(text).hexdigest().encode() + b"\n"
    if len(block) > HEADER_BYTES:
        reject()
    path.write_bytes(block.ljust(HEADER_BYTES, b"\0") + content[HEADER_BYTES:])


def check_source(source: Source) -> None:
    assert type(source.size) is type(source.mtime_ns) is int
    assert type(source.sha256) is str
    assert all(type(each) in (int, float, type(None)) for each in (source.start_seconds,))
    assert {type(source.ctime_ns), type(source.inode)} <= {int, type(None)}


def check_header(header: EntryHeader) -> None:
    assert {type(header.clip), type(header.key), type(header.identity)} == {str}
    assert header.state in ("ok", "partial")
    assert type(header.steps) is int
    assert header.steps >= 0
    check_source(header.source)
    assert {type(value) for value in header.upstream.values()} <= {str}
    coverage = header.coverage
    if coverage is not None:
        assert isinstance(coverage, Coverage)
        assert all(type(count) is int for count in coverage.rungs.values())


@quickly
@given(data=st.data())
def test_a_header_with_a_wrong_field_is_right_in_type_or_damage(
    data: st.DataObject, made: FeatureSet
) -> None:
    """It was a KeyError in status, in verify --remove and in extract."""
    path = made.entry_path("a")
    whole = path.read_bytes()
    fields = json.loads(whole.split(b"\n")[1])
    try:
        write_header(path, whole, data.draw(forged(fields)))
        damaged = 0
        try:
            check_header(read_entry_header(path))
        except EntryError:
            damaged = 1
        (status,) = read_status(made.cache).sets
        assert (status.damaged, status.entries) == (damaged, 1 - damaged)
        assert made.trust("a", path).state is None
        found = [item.path for item in verify_cache(made.cache, sets=[made]).damage]
        assert found == [path] or not damaged
    finally:
        path.write_bytes(whole)


@quickly
@given(data=st.data())
def test_attributes_with_a_wrong_field_are_right_in_type_or_damage(
    data: st.DataObject, made: FeatureSet
) -> None:
    path = made.entry_path("a")
    whole = path.read_bytes()
    fields = json.loads(whole.split(b"\n")[1])
    plain = ("clip", "key", "state", "checksum")
    try:
        with h5py.File(path, "r+") as file:
            texts = {name: value.decode() for name, value in file.attrs.items()}
            values = {n: v if n in plain else json.loads(v) for n, v in texts.items()}
            drawn = data.draw(forged(values))
            for name in texts:
                del file.attrs[name]
            told = {
                name: value if name in plain and isinstance(value, str) else json.dumps(value)
                for name, value in drawn.items()
            }
            assume("\0" not in "".join(told.values()))
            if {"clip", "key", "state", "missing", "source", "attributes"} <= set(told):
                sums = {n: d.attrs["sha256"].decode() for n, d in file.items()}
                told["checksum"] = attributes_checksum({"provenance": "", **told}, sums)
            for name, text in told.items():
                file.attrs[name] = np.bytes_(text.encode())
        body = path.read_bytes()[HEADER_BYTES:]
        fields |= {"body_bytes": len(body), "body_sha256": hashlib.sha256(body).hexdigest()}
        write_header(path, whole[:HEADER_BYTES] + body, fields)
        with contextlib.suppress(EntryError):
            entry = read_entry(path, verify=True)
            assert type(entry.clip) is str
            assert {type(text) for text in entry.missing} <= {str}
            assert type(entry.attributes) is type(entry.provenance) is dict
            check_source(entry.source)
        with contextlib.suppress(EntryError):
            verify_entry(path)
    finally:
        path.write_bytes(whole)


@quickly
@given(data=st.data())
def test_a_failures_record_with_a_wrong_field_is_right_in_type_or_damage(
    data: st.DataObject, made: FeatureSet
) -> None:
    path = made.failure_path("d")
    whole = path.read_text()
    try:
        write_record(path, data.draw(forged(json.loads(whole))))
        with contextlib.suppress(FailureRecordError):
            failure = read_failure(path)
            assert {type(failure.clip), type(failure.stage), type(failure.reason)} == {str}
            if failure.source is not None:
                check_source(failure.source)
        read_status(made.cache, rows("d"))
        made.failures()
        verify_cache(made.cache, sets=[made])
    finally:
        path.write_text(whole)


@quickly
@given(data=st.data())
def test_a_sets_file_with_a_wrong_field_is_right_in_type_or_damage(
    data: st.DataObject, made: FeatureSet
) -> None:
    path = made.folder / "set.json"
    whole = path.read_text()
    try:
        write_record(path, data.draw(forged(json.loads(whole))))
        with contextlib.suppress(SetError):
            spec, provenance = read_spec_file(made.folder)
            assert spec == made.spec
            assert type(provenance) is dict
        read_status(made.cache)
    finally:
        path.write_text(whole)


@quickly
@given(data=st.data())
def test_a_witness_with_a_wrong_field_is_right_in_type_or_damage(
    data: st.DataObject, tmp_path: Path
) -> None:
    path = tmp_path / "sources" / "a.json"
    write_witness(path, SOURCE)
    write_record(path, data.draw(forged(json.loads(path.read_text()))))
    with contextlib.suppress(WitnessError):
        check_source(read_witness(path))


def write_record(path: Path, values: dict[str, Any]) -> None:
    """Write a record with the checksum that it should have, unless that is what was forged."""
    if "checksum" in values:
        del values["checksum"]
        try:
            values["checksum"] = digest_json(values)
        except ValueError:
            values["checksum"] = "of numbers that JSON can't hold"
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("steps", "7", "steps is '7', expected a whole number"),
        ("steps", True, "steps is True, expected a whole number"),
        ("steps", -1, "steps is -1, expected as many as times has"),
        ("steps", 10**12, "steps is 1000000000000, expected as many as times has"),
        ("state", "failed", "state is 'failed', expected 'ok' or 'partial'"),
        ("clip", None, "clip is None, expected a text"),
        ("clip", ..., "clip is missing, expected a text"),
        ("clip", "../a b", "'../a b' is not a clip id"),
        ("source", {"size": 1}, "source.mtime_ns is missing, expected a whole number"),
        ("source", [], "source is [], expected an object with the fields of Source"),
        ("facts", {"coverage": {"rungs": {"whole": 1.5}}}, "coverage.rungs['whole'] is 1.5, exp"),
        ("facts", 3, "facts is 3, expected an object"),
        ("facts", {"coverage": {"rungs": {}, "longest_gap_seconds": -1}}, "a negative number"),
        ("body_bytes", "9", "body_bytes is '9', expected a whole number"),
        ("body_sha256", ..., "body_sha256 is missing, expected a text"),
        ("colour", 3, "the record has the unknown field 'colour'"),
    ],
)
def test_damage_names_the_field_and_both_sides(
    field: str, value: object, said: str, made: FeatureSet
) -> None:
    path = made.entry_path("a")
    whole = path.read_bytes()
    fields = json.loads(whole.split(b"\n")[1])
    if value is ...:
        del fields[field]
    else:
        fields[field] = value
    try:
        write_header(path, whole, fields)
        with pytest.raises(EntryError) as caught:
            read_entry_header(path)
        assert said in str(caught.value)
        (damage,) = verify_cache(made.cache, sets=[made]).damage
        assert damage.path == path
    finally:
        path.write_bytes(whole)


def test_files_of_no_clip_are_damage_and_stop_nothing(made: FeatureSet, tmp_path: Path) -> None:
    """A copy that a file manager had made ended status, gc, merge and diff with a ValueError."""
    copies = []
    for path in (made.entry_path("a"), made.failure_path("d")):
        copies.append(path.with_name(f"{path.stem} (copy){path.suffix}"))
        copies[-1].write_bytes(path.read_bytes())
    write_failure(copies[1], Failure("d (copy)", "decode", "cut short"))
    try:
        assert made.clip_ids() == ["a"]
        assert [failure.clip for failure in made.failures()] == ["d"]
        read_status(made.cache)
        assert find_garbage(made.cache) == []
        assert [item.path for item in verify_cache(made.cache).damage] == copies
        merged = merge_caches(tmp_path / "new", [made.cache])
        assert [item.path for item in merged.left_out] == copies
        assert diff_sets(made, made).equal
    finally:
        for path in copies:
            path.unlink()


def test_a_forged_entry_is_removed_and_then_made_again(made: FeatureSet) -> None:
    path = made.entry_path("a")
    whole = path.read_bytes()
    fields = json.loads(whole.split(b"\n")[1])
    try:
        write_header(path, whole, {**fields, "steps": None})
        assert made.trust("a", path).reason.startswith("the entry is damaged: ")
        assert verify_cache(made.cache, remove=True).removed == (path,)
        assert made.trust("a", path).reason == "no entry yet"
    finally:
        path.write_bytes(whole)
