"""Sources that are refused, by clip and by name, before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.sets.feature_set import FeatureSet
from pipeline.exchange.columns import ColumnError, choose_columns
from pipeline.exchange.settings import ImportSettings
from tests.pipeline.import_sources import CLIPS, FRAMES, VECTORS, csv, npz, refused, run, values


def test_missing_clips_are_refused_by_name_or_recorded(tmp_path: Path) -> None:
    path = npz(tmp_path, **{"a-1": np.ones(2)})
    message = refused(tmp_path, path)
    assert message.endswith("2 of 3 clips are not in it (--allow-missing records that): a-2, b-1")
    report = run(tmp_path, path, missing=True)
    assert (report.clips, report.missing) == (1, ("a-2", "b-1"))
    failure = FeatureSet.open(report.folder).failure("a-2")
    assert failure is not None
    assert (failure.stage, failure.reason) == ("import", "not in source.npz")
    assert "none of its ids" in refused(tmp_path / "x", path, ["zz"], missing=True)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e39])
def test_numbers_that_cannot_be_stored_are_refused_by_clip(tmp_path: Path, bad: float) -> None:
    rows = {"a-1": np.array([1.0, bad]), "a-2": np.ones(2), "b-1": np.array([bad, 1.0])}
    message = refused(tmp_path, npz(tmp_path, **rows))
    assert "clip a-1: 1 of 1 rows have nan or inf" in message
    assert "the first in feature 1" in message
    assert "clip b-1" in message
    assert "clip a-2" not in message


def test_wrong_widths_are_refused_by_clip(tmp_path: Path) -> None:
    rows = {"a-1": np.ones(3), "a-2": np.ones(2), "b-1": np.ones(3)}
    assert "clip a-2: 2 features, expected 3" in refused(tmp_path, npz(tmp_path, **rows))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.ones((2, 3, 5)), r"clip a: expected shape (D,) or (T, D), got (2, 3, 5)"),
        (np.array(["x"]), "clip a: expected numbers"),
        (np.ones((3, 2)), "clip a: 3 rows without times"),
        (np.array([{"x": 1}], object), "array a: holds Python objects"),
    ],
)
def test_arrays_that_are_no_features_are_refused(
    tmp_path: Path, array: np.ndarray, message: str
) -> None:
    assert message in refused(tmp_path, npz(tmp_path, a=array), ["a"])


def test_two_rows_at_one_time_or_a_time_that_is_nan_are_refused(tmp_path: Path) -> None:
    how: dict[str, Any] = {"columns": "2:4", "time_column": "0"}
    message = refused(tmp_path, npz(tmp_path, a=FRAMES), ["a"], **how)
    assert "clip a: 2 rows at the same time, 2 s first" in message
    path = npz(tmp_path, a=np.array([[np.nan, 1.0]]))
    assert "1 of 1 times are nan" in refused(tmp_path, path, ["a"], time_column="0")


def test_repeated_ids_are_refused_by_name(tmp_path: Path) -> None:
    path = npz(tmp_path, clip=np.array(["a-1", "a-1", "b-1"]), au=np.ones((3, 2)))
    assert "id a-1 occurs twice" in refused(tmp_path, path, missing=True)
    path = csv(tmp_path, "clip,x", "b-1,1", "b-1,2")
    assert "id b-1 occurs twice" in refused(tmp_path, path, format="csv", missing=True)


def test_a_pattern_that_confuses_ids_or_clips_is_refused(tmp_path: Path) -> None:
    path = npz(tmp_path, **VECTORS)
    message = refused(tmp_path, path, ["a-x"], id_pattern="^(.)-")
    assert "clip a-x: 2 ids: a-1, a-2" in message
    path = npz(tmp_path, **{"a-1": np.ones(2)})
    message = refused(tmp_path, path, id_pattern="^(a)-")
    assert "id a-1 belongs to 2 clips: a-1, a-2" in message
    message = refused(tmp_path, path, id_pattern="^(z)", missing=True)
    assert "the pattern fits none of the 1 ids, 'a-1' first" in message


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"id_column": "who"}, "has no array who with the clip ids"),
        ({"array": "au"}, "has no array clip with the clip ids"),
    ],
)
def test_arrays_that_an_npz_lacks_are_named(
    tmp_path: Path, how: dict[str, str], message: str
) -> None:
    assert message in refused(tmp_path, npz(tmp_path, **VECTORS), **how)


def test_a_table_of_several_arrays_needs_a_choice(tmp_path: Path) -> None:
    arrays = {"clip": np.array(CLIPS), "x": np.ones((3, 2)), "y": np.zeros((2, 7))}
    path = npz(tmp_path, **arrays)
    assert "has the arrays x, y; choose one by --array" in refused(tmp_path, path)
    assert "clip has 3 ids for 2 rows" in refused(tmp_path, path, array="y")
    assert "has no array z; it has x, y" in refused(tmp_path, path, array="z")
    assert values(run(tmp_path, path, array="x"), "a-1").tolist() == [[1.0, 1.0]]


def test_sources_of_another_form_are_refused(tmp_path: Path) -> None:
    text = csv(tmp_path, "clip,x", "a-1,one")
    assert "is not an npz file" in refused(tmp_path, text)
    assert "is not a folder" in refused(tmp_path, text, format="npy-folder")
    assert "pass --from npy-folder" in refused(tmp_path, tmp_path)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "holds no file that ends in .npy" in refused(tmp_path, empty, format="npy-folder")
    message = refused(tmp_path, text, format="csv")
    assert "line 2: column x: 'one' is not a number" in message
    message = refused(tmp_path, text, format="csv", id_column="who")
    assert "0 columns are called who" in message
    path = csv(tmp_path, "clip,x", "a-1,1,2")
    assert "line 2: 3 fields, the header has 2" in refused(tmp_path, path, format="csv")
    folder = tmp_path / "pickled"
    folder.mkdir()
    np.save(folder / "a.npy", np.array([{}], object), allow_pickle=True)
    (folder / "b.npy").write_bytes(b"nothing of the kind")
    message = refused(tmp_path, folder, ["a", "b"], format="npy-folder")
    assert "clip a: holds Python objects, which would have to be unpickled" in message
    assert "clip b: the magic string is not correct" in message


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"columns": "0:9"}, "columns 0:9 must be a range within the 3"),
        ({"columns": "x,0"}, "name x twice"),
        ({"columns": "q*"}, "no column is called q"),
        ({"columns": "q"}, "there is no column q; there are x, y, y"),
        ({"columns": "y"}, "2 columns are called y; name it by its number"),
        ({"columns": "1:3", "where": ("x",)}, "'x' is not a condition"),
        ({"columns": "1:3", "where": ("x=red",)}, "'x=red' is not a condition"),
        ({"where": ("x=1", "1=1", "2=1")}, "no column is left"),
    ],
)
def test_columns_that_are_not_there_are_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(ColumnError, match=message):
        choose_columns(["x", "y", "y"], ImportSettings("npz", **how))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"rate": 0.0}, "rate must be above 0 and finite, got 0.0"),
        ({"id_pattern": "("}, "is not a regular expression"),
        ({"clip_pattern": "abc"}, "'abc' has no group"),
    ],
)
def test_settings_that_mean_nothing_are_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImportSettings("npz", **how)
