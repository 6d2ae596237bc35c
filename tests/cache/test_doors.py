"""The door of a cache for Python: sets, clips, features as arrays and tables, and refusals."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from cache import Cache, open_cache
from cache.entries.entry import EntryError
from cache.entries.failure import Failure
from cache.sets.feature_set import FeatureSet, SetError, SetSpec
from cache.sets.main_array import find_main_array
from cache.sets.scan import NotACacheError
from tests.cache.conftest import DIM, STEPS, WriteEntry, arrays_of


@pytest.fixture
def opened(feature_set: FeatureSet, write_entry: WriteEntry) -> Cache:
    """A cache with the clips a and b, and c without a step, in one set; d failed."""
    write_entry("b", {**arrays_of(2, seed=3), "rung": np.zeros(2, np.uint8)})
    write_entry("a", {**arrays_of(seed=5), "rung": np.zeros(STEPS, np.uint8)}, missing=["sound"])
    write_entry("c", {**arrays_of(0), "rung": np.zeros(0, np.uint8)})
    feature_set.record_failure(Failure("d", "decode", "it is cut off", provenance={}))
    return open_cache(str(feature_set.cache))


def test_sets_clips_and_failures_are_listed(opened: Cache) -> None:
    assert opened.sets() == ["resnet18"]
    assert opened.clips("resnet18") == ["a", "b", "c"]
    assert opened.failures("resnet18") == {"d": "it is cut off"}
    assert repr(opened) == f"Cache('{opened.path}')"


def test_of_two_sets_with_one_name_each_is_named_with_its_key(opened: Cache) -> None:
    spec = SetSpec("resnet18", {"size": 17}, version=1, weights="a" * 64)
    other = FeatureSet(opened.path, spec).create({})
    names = opened.sets()
    assert len(names) == 2
    assert other.folder.name in names
    assert opened.clips(other.folder.name) == []
    with pytest.raises(SetError, match="has 2 sets resnet18"):
        opened.clips("resnet18")


def test_features_are_the_arrays_that_were_written(opened: Cache) -> None:
    found = opened.features("resnet18")
    assert list(found) == ["a", "b", "c"]
    expected = arrays_of(seed=5)
    assert np.array_equal(found["a"].times, expected["times"])
    assert np.array_equal(found["a"]["basic"], expected["basic"])
    assert found["a"].arrays.keys() == {"basic", "rung"}
    assert (found["a"].state, found["a"].missing) == ("partial", ("sound",))
    assert found["c"]["basic"].shape == (0, DIM)
    some = opened.features("resnet18", ["b", "a"], array="basic", verify=True)
    assert list(some) == ["b", "a"]
    assert some["b"].arrays.keys() == {"basic"}


def test_a_table_has_a_row_per_step_or_per_clip(opened: Cache) -> None:
    pytest.importorskip("pandas")
    table = opened.table("resnet18")
    assert list(table.columns) == ["clip", "time_seconds", *(f"v{i}" for i in range(DIM))]
    assert table["clip"].tolist() == ["a"] * STEPS + ["b"] * 2
    expected = arrays_of(2, seed=3)
    assert table["time_seconds"].tolist()[STEPS:] == expected["times"].tolist()
    assert table.loc[table["clip"] == "b", "v4"].tolist() == expected["basic"][:, 4].tolist()
    means = opened.table("resnet18", ["b", "c"], per="clip")
    assert list(means.columns)[:3] == ["clip", "steps", "v0"]
    assert (means["clip"].tolist(), means["steps"].tolist()) == (["b", "c"], [2, 0])
    halves = expected["basic"][:, 1].astype(np.float64)
    assert means["v1"][0] == pytest.approx((halves[0] + halves[1]) / 2)
    assert np.isnan(means["v1"][1])


def test_a_table_of_no_clips_is_empty(opened: Cache) -> None:
    pytest.importorskip("pandas")
    assert opened.table("resnet18", [], array="basic").shape == (0, 2)


def test_what_is_not_there_is_refused_by_name(opened: Cache, tmp_path: Path) -> None:
    with pytest.raises(SetError, match=r"no feature set ir50; it has resnet18-"):
        opened.features("ir50")
    with pytest.raises(SetError, match=r"2 clips without an entry in .*: d, z; extract them"):
        opened.features("resnet18", ["a", "d", "z"])
    with pytest.raises(EntryError, match="has no array mean; it has times, basic, rung"):
        opened.features("resnet18", array="mean")
    with pytest.raises(NotACacheError, match="does not exist"):
        open_cache(tmp_path / "gone")
    with pytest.raises(ValueError, match="leave out the sets"):
        opened.verify(["resnet18"], seconds=1.0)


def test_a_table_is_refused_where_it_would_be_ambiguous(
    opened: Cache, write_entry: WriteEntry
) -> None:
    pytest.importorskip("pandas")
    with pytest.raises(ValueError, match="per must be one of step, clip, got 'frame'"):
        opened.table("resnet18", per="frame")  # type: ignore[arg-type]
    spec = SetSpec("views", {}, version=1)
    views = FeatureSet(opened.path, spec).create({})
    arrays = arrays_of()
    write_entry(
        "a",
        {
            "times": arrays["times"],
            "mean": arrays["basic"],
            "std": arrays["basic"],
        },
        into=views,
    )
    with pytest.raises(SetError, match="has the arrays times, mean, std; say which: array='NAME'"):
        opened.table("views")
    assert opened.table("views", array="std").shape == (STEPS, 2 + DIM)


def test_without_pandas_a_table_says_how_to_get_it(
    opened: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pip install 'avfuse\[tables\]'"):
        opened.table("resnet18")


def test_status_and_verify_are_those_of_the_commands(opened: Cache) -> None:
    (status,) = opened.status().sets
    assert (status.ok, status.partial, status.failed) == (2, 1, 1)
    report = opened.verify()
    assert (report.entries, report.failures, report.damage) == (3, 1, ())


def test_the_main_array_is_basic_or_the_only_one() -> None:
    assert find_main_array(["times", "rung", "basic", "mean"]) == "basic"
    assert find_main_array(["times", "logmel"]) == "logmel"
    assert find_main_array(["times", "mean", "std"]) is None
    assert find_main_array(["times", "tracks/box"]) is None
