"""Packs with a valid seal and a wrong field: damage, and built anew when they are opened."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

pytest.importorskip("hypothesis", reason="properties are tested with hypothesis")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cache.entries.sealed import HEADER_BYTES
from cache.entries.source import Source
from cache.packs.pack import open_pack
from cache.packs.sums import add_up, find_values
from cache.sets.feature_set import FeatureSet, SetSpec
from cache.upkeep.gc import find_garbage
from cache.upkeep.status import read_status
from cache.upkeep.verify import verify_cache
from tests.cache.conftest import STEPS, arrays_of
from tests.cache.entries.test_forged import write_header
from tests.cache.forging import ANYTHING, forged

CLIPS = ("a", "b", "gone")
quickly = settings(
    deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> FeatureSet:
    """A set with two entries and a pack of three clips."""
    made = FeatureSet(tmp_path_factory.mktemp("packs"), SetSpec("ir50", {}, 1)).create({})
    for clip in CLIPS[:2]:
        with made.writer(clip, source=Source(11, 13, "0" * 64), provenance={}) as writer:
            writer.append(**arrays_of())
            writer.finish()
    open_made(made)
    return made


def open_made(made: FeatureSet) -> tuple[Path, str]:
    pack = open_pack(made, CLIPS, "basic", missing="skip")
    assert pack.clip_ids == CLIPS[:2]
    assert pack.offsets.tolist() == [0, STEPS, 2 * STEPS]
    return pack.path, pack.built


def check_handled(made: FeatureSet) -> None:
    """Whatever looks at the pack takes it as it is or for damage, and training has a right one."""
    read_status(made.cache)
    find_garbage(made.cache)
    report = verify_cache(made.cache, remove=True)
    assert len(report.removed) == len(report.damage)
    open_made(made)


def fields_of(content: bytes) -> Any:
    return json.loads(content.split(b"\n")[1])


@quickly
@given(data=st.data())
def test_a_packs_header_with_a_wrong_field_is_damage_or_of_another_pack(
    data: st.DataObject, made: FeatureSet
) -> None:
    path, _ = open_made(made)
    whole = path.read_bytes()
    write_header(path, whole, data.draw(forged(fields_of(whole))))
    check_handled(made)


def write_table(path: Path, name: str, table: np.ndarray) -> None:
    """Replace a table of a pack, and make sums and seal fit."""
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = table
        where = find_values(file)
    content = path.read_bytes()
    sums = add_up(path, *where).to_json()
    body = content[HEADER_BYTES:]
    stated = {"body_bytes": len(body), "body_sha256": hashlib.sha256(body).hexdigest()}
    write_header(path, content, {**fields_of(content), **stated, "sums": sums})


@quickly
@given(data=st.data())
def test_a_packs_index_with_a_wrong_field_is_damage_or_of_another_state(
    data: st.DataObject, made: FeatureSet
) -> None:
    path, _ = open_made(made)
    with h5py.File(path, "r") as file:
        index = json.loads(bytes(file["index"][...]))
    text = json.dumps(data.draw(forged(index) | ANYTHING))
    write_table(path, "index", np.frombuffer(text.encode(), np.uint8))
    read_status(made.cache)
    find_garbage(made.cache)
    verify_cache(made.cache)
    path.unlink()


def test_an_index_with_what_is_no_clip_id_is_damage(made: FeatureSet) -> None:
    path, _ = open_made(made)
    with h5py.File(path, "r") as file:
        index = json.loads(bytes(file["index"][...]))
    index["clips"][0] = "../a b"
    write_table(path, "index", np.frombuffer(json.dumps(index).encode(), np.uint8))
    (damage,) = verify_cache(made.cache).damage
    assert "'../a b' is not a clip id" in damage.reason
    check_handled(made)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("offsets", [0, 7]),
        ("offsets", [0, 9, 7]),
        ("offsets", [1, 7, 14]),
        ("offsets", [0, 7, 1000]),
        ("offsets", [0.0, 7.0, 14.0]),
        ("times", [[0.0] * 14]),
        ("times", [0.0] * 13),
        ("entry_stats", [[1, 2]]),
    ],
)
def test_tables_that_do_not_fit_one_another_are_damage(
    name: str, table: list[Any], made: FeatureSet
) -> None:
    path, _ = open_made(made)
    write_table(path, name, np.array(table))
    (damage,) = verify_cache(made.cache).damage
    assert damage.reason.endswith("its tables don't fit one another")
    assert "was damaged: its tables don't fit" in open_made(made)[1]


@pytest.mark.parametrize("field", ["set", "key", "array", "dtype", "clips", "steps"])
def test_a_missing_field_is_named(field: str, made: FeatureSet) -> None:
    """It was a KeyError in status and in training."""
    path, _ = open_made(made)
    whole = path.read_bytes()
    fields = fields_of(whole)
    del fields[field]
    write_header(path, whole, fields)
    (damage,) = verify_cache(made.cache).damage
    assert f"its header is damaged: {field} is missing, expected a " in damage.reason
    assert open_made(made)[1].startswith("it was damaged: its header is damaged")
