"""Exported features are the cache's, to the last digit, and come back in."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cache.sets.feature_set import find_set
from pipeline.cli import main


def export(cache: Path, form: str, out: Path, *arguments: object, array: str = "basic") -> Result:
    command = ["cache", "export", cache, "resnet18", "--to", form, "-o", out, "--array", array]
    return CliRunner().invoke(main, [str(word) for word in (*command, *arguments)])


def test_each_form_holds_every_number_and_time(extracted: Path, tmp_path: Path) -> None:
    stored = find_set(extracted, "resnet18")
    for form, out in (("npz", "x.npz"), ("npy-folder", "folder"), ("csv", "x.csv")):
        assert export(extracted, form, tmp_path / out).exit_code == 0
    with np.load(tmp_path / "x.npz", allow_pickle=False) as file:
        archive = dict(file)
    with (tmp_path / "x.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for clip in stored.clip_ids():
        arrays = stored.read(clip).arrays
        assert np.array_equal(archive[clip], arrays["basic"])
        assert np.array_equal(archive[f"times/{clip}"], arrays["times"])
        assert np.array_equal(np.load(tmp_path / "folder" / f"{clip}.npy"), arrays["basic"])
        own = [row for row in rows if row["clip"] == clip]
        assert [float(row["time_seconds"]) for row in own] == arrays["times"].tolist()
        assert [np.float32(row["v511"]) for row in own] == arrays["basic"][:, 511].tolist()


def test_an_exported_table_can_be_imported_again(
    corpus: Path, extracted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x.csv"
    assert export(extracted, "csv", out, "--manifest", corpus).exit_code == 0
    command = ["cache", "import", tmp_path / "other", "again", "--from", "csv", out, "--manifest"]
    command += [corpus, "--columns", "v*", "--time-column", "time_seconds"]
    result = CliRunner().invoke(main, [str(word) for word in command])
    assert result.exit_code == 0, result.output
    before, after = find_set(extracted, "resnet18"), find_set(tmp_path / "other", "again")
    for clip in before.clip_ids():
        old, new = before.read(clip).arrays, after.read(clip).arrays
        assert np.array_equal(old["basic"], new["values"])
        assert np.array_equal(old["times"], new["times"])


def test_the_same_features_make_the_same_bytes(extracted: Path, tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        export(extracted, "npz", tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_clip_of_another_span_than_the_manifest_says_is_refused(
    corpus: Path, extracted: Path, tmp_path: Path
) -> None:
    clip, path, *_ = corpus.read_text().splitlines()[1].split(",")
    changed = tmp_path / "changed.csv"
    changed.write_text(f"clip,path,start_seconds\n{clip},{corpus.parent / path},0.5\n")
    result = export(extracted, "npz", tmp_path / "x.npz", "--manifest", changed)
    assert result.exit_code == 2
    assert re.search(r"1 stale clip in resnet18-\w+: .*its start or end in the", result.output)
    assert not (tmp_path / "x.npz").exists()


def test_what_cannot_be_exported_is_named(corpus: Path, extracted: Path, tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_text("mine")
    result = export(extracted, "npz", tmp_path / "x.npz")
    assert result.exit_code == 2
    assert "x.npz exists" in result.output
    assert (tmp_path / "x.npz").read_text() == "mine"
    result = export(extracted, "npz", tmp_path / "x.npz" / "y.npz")
    assert result.exit_code == 2
    assert "x.npz is not a folder" in " ".join(result.output.split())
    result = export(extracted, "npz", tmp_path / "y.npz", array="mean")
    assert result.exit_code == 1
    assert "has no array mean" in result.output
    assert not list(tmp_path.glob("*y*"))
    video = tmp_path / "extra.mp4"
    video.write_bytes(b"x")
    more = corpus.read_text() + f"extra,{video},happy,train,s1\n"
    manifest = corpus.with_name("more.csv")
    manifest.write_text(more)
    result = export(extracted, "npz", tmp_path / "y.npz", "--manifest", manifest)
    assert result.exit_code == 2
    assert "1 clip without an entry" in result.output
    result = export(extracted, "npz", tmp_path / "y.npz", "--manifest", manifest, "--skip-missing")
    assert result.exit_code == 0
    assert "left out, 1 clip without an entry: extra" in result.output


@pytest.mark.parametrize("name", ["ir50", "resnet18-0000"])
def test_a_set_that_is_not_there_is_named(name: str, extracted: Path, tmp_path: Path) -> None:
    command = [
        "cache",
        "export",
        extracted,
        name,
        "--to",
        "csv",
        "-o",
        tmp_path / "x",
        "--array",
        "a",
    ]
    result = CliRunner().invoke(main, [str(word) for word in command])
    assert result.exit_code == 2
    assert f"has no feature set {name}" in result.output


def test_arrays_with_rows_of_their_own_go_into_an_archive_and_into_no_table(
    extracted: Path, tmp_path: Path
) -> None:
    """The table ended in a traceback."""

    def export_crops(form: str) -> Result:
        command = ["cache", "export", extracted, "identity", "--array", "crops/embedding"]
        out = tmp_path / f"x.{form}"
        return CliRunner().invoke(main, [str(word) for word in (*command, "--to", form, "-o", out)])

    refused = export_crops("csv")
    assert refused.exit_code == 2
    assert "has no time for each of its rows, which csv needs; pass --to npz" in refused.stderr
    assert export_crops("npz").exit_code == 0
    stored = find_set(extracted, "identity")
    with np.load(tmp_path / "x.npz", allow_pickle=False) as archive:
        for clip in stored.clip_ids():
            assert np.array_equal(archive[clip], stored.read(clip).arrays["crops/embedding"])
