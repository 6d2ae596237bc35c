"""Features from elsewhere: every form of source gives the same set."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.entries.source import SourceChangedError
from cache.sets.feature_set import FeatureSet
from pipeline.exchange import importing
from pipeline.exchange.arrays import GIB
from pipeline.exchange.columns import ColumnError, choose_columns
from pipeline.exchange.settings import ImportSettings
from pipeline.exchange.sources import open_source
from tests.pipeline.import_sources import CLIPS, FRAMES, VECTORS, csv, npz, run, times, values


def test_an_npz_of_one_vector_a_clip_becomes_sequences_of_one_step(tmp_path: Path) -> None:
    report = run(tmp_path, npz(tmp_path, **VECTORS))
    assert (report.clips, report.fresh, report.width) == (3, 3, 5)
    for clip in CLIPS:
        assert np.array_equal(values(report, clip), VECTORS[clip][None])
        assert times(report, clip) == [0.0]


def test_an_npz_of_ids_and_rows_is_the_same_features(tmp_path: Path) -> None:
    rows = np.stack([VECTORS[clip] for clip in CLIPS])
    report = run(tmp_path, npz(tmp_path, clip=np.array(CLIPS), au=rows))
    for clip in CLIPS:
        assert np.array_equal(values(report, clip), VECTORS[clip][None])


def test_an_npy_folder_is_the_same_features_and_subfolders_are_part_of_ids(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "sub").mkdir(parents=True)
    np.save(folder / "a-1.npy", VECTORS["a-1"])
    np.save(folder / "sub" / "x.npy", VECTORS["a-2"])
    report = run(tmp_path, folder, ["a-1", "sub--x"], format="npy-folder")
    assert np.array_equal(values(report, "a-1")[0], VECTORS["a-1"])
    assert np.array_equal(values(report, "sub--x")[0], VECTORS["a-2"])


def test_a_csv_with_a_row_a_clip_is_the_same_features(tmp_path: Path) -> None:
    lines = [f"{clip},x,{','.join(map(repr, map(float, VECTORS[clip])))}" for clip in CLIPS]
    path = csv(tmp_path, "clip, note,f0,f1,f2,f3,f4", *lines)
    report = run(tmp_path, path, format="csv", columns="f*")
    for clip in CLIPS:
        assert np.array_equal(values(report, clip)[0], VECTORS[clip])


def test_a_csv_with_times_groups_rows_and_sorts_them_by_time(tmp_path: Path) -> None:
    path = csv(tmp_path, "id,t,x", "a,0.5,7", "b,0.0,3", "a,0.25,5")
    report = run(tmp_path, path, ["a", "b"], format="csv", id_column="id", time_column="t")
    assert times(report, "a") == [0.25, 0.5]
    assert values(report, "a").tolist() == [[5.0], [7.0]]
    assert values(report, "b").tolist() == [[3.0]]


def test_a_folder_of_csv_files_is_openfaces_output(tmp_path: Path) -> None:
    folder = tmp_path / "openface"
    folder.mkdir()
    (folder / "a.csv").write_text(
        "frame, timestamp, success, AU01_r, AU01_c\n1, 0.0, 1, 2.5, 1\n2, 0.04, 0, 9, 1\n"
    )
    how: dict[str, Any] = {"time_column": "timestamp", "columns": "AU*_r", "where": ("success=1",)}
    report = run(tmp_path, folder, ["a"], format="csv", **how)
    assert times(report, "a") == [0.0]
    assert values(report, "a").tolist() == [[2.5]]


def test_frame_numbers_become_seconds_and_one_face_is_kept(tmp_path: Path) -> None:
    path = npz(tmp_path, a=FRAMES)
    how: dict[str, Any] = {"columns": "2:4", "time_column": "0", "rate": 25.0, "first_frame": 1}
    report = run(tmp_path, path, ["a"], **how, where=("1=0",))
    assert times(report, "a") == [0.0, 1 / 25, 2 / 25]
    assert values(report, "a").tolist() == [[10, 20], [11, 21], [12, 22]]


@pytest.mark.parametrize(("policy", "middle"), [("first", [11, 21]), ("mean", [12, 26])])
def test_rows_at_the_same_time_are_joined_as_asked(
    tmp_path: Path, policy: str, middle: list[float]
) -> None:
    how: dict[str, Any] = {"columns": "2:4", "time_column": "0", "rate": 25.0, "same_time": policy}
    report = run(tmp_path, npz(tmp_path, a=FRAMES), ["a"], **how)
    assert times(report, "a") == [1 / 25, 2 / 25, 3 / 25]
    assert values(report, "a").tolist() == [[10, 20], middle, [12, 22]]


def test_a_rate_alone_spaces_the_rows(tmp_path: Path) -> None:
    report = run(tmp_path, npz(tmp_path, a=np.ones((3, 2))), ["a"], rate=4.0)
    assert times(report, "a") == [0.0, 0.25, 0.5]


def test_a_clip_none_of_whose_rows_is_kept_is_partial_and_says_why(tmp_path: Path) -> None:
    path = npz(tmp_path, a=FRAMES, b=FRAMES[3:])
    how: dict[str, Any] = {"columns": "2:4", "time_column": "0", "where": ("1=0",)}
    report = run(tmp_path, path, ["a", "b"], **how)
    assert report.empty == ("b",)
    entry = FeatureSet.open(report.folder).read("b")
    assert entry.arrays["values"].shape == (0, 2)
    assert entry.missing == ("no row in the source where 1=0",)


def test_ids_are_compared_by_what_the_pattern_captures(tmp_path: Path) -> None:
    path = npz(tmp_path, **{"01-a-1": np.ones(2), "01-b-2": np.zeros(2)})
    report = run(tmp_path, path, ["03-a-1"], id_pattern=r"^\d\d-(.*)$")
    assert values(report, "03-a-1").tolist() == [[1.0, 1.0]]
    assert report.unused == ("01-b-2",)


def test_the_clips_may_have_a_pattern_of_their_own(tmp_path: Path) -> None:
    how: dict[str, Any] = {"id_pattern": "^take(.)$", "clip_pattern": "-(.)$"}
    report = run(tmp_path, npz(tmp_path, take7=np.ones(2)), ["a-7"], **how)
    assert report.clips == 1


def test_contents_and_options_are_in_the_key_and_entries_remember_their_id(tmp_path: Path) -> None:
    path = npz(tmp_path, **VECTORS)
    first = run(tmp_path, path, columns="0:3")
    again = run(tmp_path, path, columns="0:3")
    assert (again.folder, again.fresh) == (first.folder, 0)
    other = run(tmp_path, path, columns="1:4")
    changed = run(tmp_path, npz(tmp_path, **{**VECTORS, "a-1": np.ones(5)}), columns="0:3")
    assert len({first.folder, other.folder, changed.folder}) == 3
    entry = FeatureSet.open(first.folder).read("a-1")
    assert entry.provenance["id"] == "a-1"
    assert entry.provenance["imported_from"] == str(path)


def test_a_changed_file_of_a_folder_makes_another_set(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    np.save(folder / "a.npy", np.ones(3))
    first = run(tmp_path, folder, ["a"], format="npy-folder")
    np.save(folder / "a.npy", np.zeros(3))
    assert run(tmp_path, folder, ["a"], format="npy-folder").folder != first.folder


def test_columns_of_arrays_are_counted() -> None:
    settings = ImportSettings("npz", columns="3,0:2", where=("2>=5",))
    choice = choose_columns([str(i) for i in range(5)], settings)
    assert choice.values == (3, 0, 1)
    rows = choice.take(np.array([[10.0, 11, 5, 13], [20, 21, 4, 23]]))
    assert rows.values.tolist() == [[13, 10, 11], [23, 20, 21]]
    assert rows.kept.tolist() == [True, False]
    with pytest.raises(ColumnError, match="there are 5, counted from 0"):
        choose_columns([str(i) for i in range(5)], ImportSettings("npz", columns="5"))


def test_the_real_action_units_fit_the_real_takes(data: Path, tmp_path: Path) -> None:
    path = data / "ravdess" / "openface_au.npz"
    settings = ImportSettings("npz", id_pattern=r"^\d\d-(.*)$")
    with open_source([path], settings, GIB) as source:
        assert len(source.ids) == 1440
    report = run(tmp_path, path, ["03-01-08-02-02-02-24"], id_pattern=r"^\d\d-(.*)$")
    with np.load(path) as arrays:
        expected = arrays["au"][list(arrays["clip"]).index("01-01-08-02-02-02-24")]
    assert np.array_equal(values(report, "03-01-08-02-02-02-24")[0], expected)


def test_a_source_that_is_replaced_while_it_is_imported_is_in_no_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new rows were stored as those of the old file."""
    (tmp_path / "folder").mkdir()
    file = tmp_path / "folder" / "a-1.npy"
    np.save(file, VECTORS["a-1"])
    check = importing.make_steps

    def replaced(*arguments: Any) -> Any:
        monkeypatch.undo()  # everything is read twice: checked first, and then stored
        np.save(file, VECTORS["a-2"])
        return check(*arguments)

    monkeypatch.setattr(importing, "make_steps", replaced)
    with pytest.raises(SourceChangedError, match="changed while it was read; wait until it is"):
        run(tmp_path, tmp_path / "folder", ["a-1"], format="npy-folder")
    assert list((tmp_path / "cache").rglob("*.h5")) == []
