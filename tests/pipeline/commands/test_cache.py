from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cache.commit import temporary_path, this_writer
from cache.entries.failure import Failure
from cache.entries.source import read_source
from cache.packs.pack import find_packs
from cache.sets.feature_set import FeatureSet, SetSpec
from cache.sets.freshness import NOT_AT_HAND
from cache.upkeep.status import read_status
from pipeline.cli import main

STEPS = 7


@pytest.fixture
def feature_set(tmp_path: Path) -> FeatureSet:
    """Three entries, one of them partial, of a network with random weights."""
    spec = SetSpec("resnet18", {"size": 13}, 1, weights="a" * 64, untrained=True)
    return fill(FeatureSet(tmp_path / "out", spec).create({}), tmp_path)


def fill(feature_set: FeatureSet, folder: Path) -> FeatureSet:
    video = folder / "clip.mp4"
    video.write_bytes(b"eleven byte")
    for clip in ("a", "b", "c"):
        with feature_set.writer(clip, source=read_source(video), provenance={}) as writer:
            writer.append(times=np.arange(STEPS) / 25, basic=np.ones((STEPS, 5), np.float32))
            writer.finish(missing=("no audio stream",) if clip == "c" else ())
    return feature_set


def write_manifest(folder: Path, *clips: str) -> Path:
    path = folder / "manifest.csv"
    path.write_text("clip,path\n" + "".join(f"{clip},{clip}.mp4\n" for clip in clips))
    return path


def run(*args: object) -> Result:
    return CliRunner().invoke(main, ["cache", *map(str, args)])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-50] ^= 1
    path.write_bytes(content)


def test_status_is_a_table_with_a_line_per_set(feature_set: FeatureSet) -> None:
    result = run("status", feature_set.cache)
    assert result.exit_code == 0
    header, line, note, packs = result.output.splitlines()
    columns = ["set", "ok", "partial", "failed", "damaged", "size", "steps", "faces", "seen"]
    assert header.split() == columns
    size = sum(path.stat().st_size for path in feature_set.entry_paths()) / 1000
    assert line.split() == [
        *(
            feature_set.folder.name,
            "2",
            "1",
            "0",
            "0",
            f"{size:.1f}",
            "kB",
            str(3 * STEPS),
            "-",
            "-",
        )
    ]
    assert len(header) == len(line)
    assert note == f"{feature_set.folder.name}: untrained (random weights)"
    assert packs == "0 packs, 0 B"


def test_status_counts_a_manifests_clips_whose_files_need_not_be_there(
    feature_set: FeatureSet, tmp_path: Path
) -> None:
    feature_set.record_failure(Failure("d", "decode", "cut short"))
    manifest = write_manifest(tmp_path, "a", "d", "e", "f")
    result = run("status", feature_set.cache, "--manifest", manifest)
    assert result.exit_code == 1  # one failed
    header, line, *notes = result.output.splitlines()
    assert header.endswith("of manifest: done  stale  failed  missing")
    assert line.split()[-4:] == ["1", "0", "1", "2"]
    note = f"{feature_set.folder.name}: 1 clip not checked for newer files: {NOT_AT_HAND}"
    assert note in notes
    (tmp_path / "a.mp4").write_bytes(b"another file")
    result = run("status", feature_set.cache, "--manifest", manifest, "--json")
    (found,) = json.loads(result.output)["sets"]
    assert (found["manifest"]["done"], found["manifest"]["stale"]) == (0, 1)
    result = run("status", feature_set.cache, "--manifest", manifest)
    assert f"{feature_set.folder.name}: 1 clip stale: its file has changed\n" in result.output


def test_status_as_json_is_what_the_python_call_returns(feature_set: FeatureSet) -> None:
    result = run("status", feature_set.cache, "--json")
    assert result.exit_code == 0
    assert json.loads(result.output) == json.loads(
        json.dumps(read_status(feature_set.cache).to_json())
    )


def test_status_shows_what_is_stale_orphaned_damaged_broken_and_left_over(
    feature_set: FeatureSet, tmp_path: Path
) -> None:
    newer = SetSpec("resnet18", {"size": 17}, 1, weights="a" * 64, untrained=True)
    FeatureSet(feature_set.cache, newer).create({"date": "2999-01-01"})
    orphan = SetSpec("ir50", {}, 1, upstream={"faces": "b" * 64})
    FeatureSet(feature_set.cache, orphan).create({})
    run("pack", feature_set.cache, feature_set.folder.name, "--array", "basic")
    path = feature_set.entry_path("a")
    path.write_bytes(path.read_bytes()[:-1])
    temporary_path(path).touch()
    (feature_set.cache / "vgg-0123456789abcdef").mkdir()
    result = run("status", feature_set.cache)
    assert result.exit_code == 1
    folder = feature_set.folder.name
    for expected in (
        f"{folder}: older than {newer.folder}, and stale if you want that one; they differ in:",
        f"{folder}:   settings.size: 13 -> 17",
        f"{orphan.folder}: orphaned: made from faces-{'b' * 16}, which is gone",
        f"{folder}: has damaged entries; 'avfuse cache verify --remove' removes them",
        "vgg-0123456789abcdef: broken: ",
        f"stale pack {find_packs(feature_set.cache)[0].name}: the entry of clip a changed",
        "1 temporary file and 0 half-removed sets; see 'avfuse cache gc --dry-run ",
    ):
        assert expected in result.output


def test_verify_ends_with_0_on_a_whole_cache_and_1_on_a_flipped_bit(
    feature_set: FeatureSet,
) -> None:
    result = run("verify", feature_set.cache)
    assert (result.exit_code, result.output) == (
        0,
        "3 entries, 0 records of failures and 0 packs read; 0 damaged\n",
    )
    flip(feature_set.entry_path("b"))
    result = run("verify", feature_set.cache)
    assert result.exit_code == 1
    assert "damaged entry: clip b: entry " in result.output
    result = run("verify", feature_set.cache, "--json", "--sets", "resnet18")
    assert result.exit_code == 1
    (damage,) = json.loads(result.output)["damage"]
    assert damage["path"] == str(feature_set.entry_path("b"))
    result = run("verify", feature_set.cache, "--remove")
    assert (result.exit_code, "(removed)" in result.output) == (1, True)
    assert run("verify", feature_set.cache).exit_code == 0


def test_verify_tells_of_stale_packs_and_temporary_files(
    feature_set: FeatureSet, tmp_path: Path
) -> None:
    run("pack", feature_set.cache, "resnet18", "--array", "basic")
    fill(feature_set, tmp_path)
    temporary_path(feature_set.entry_path("a")).touch()
    result = run("verify", feature_set.cache)
    assert result.exit_code == 0
    assert "stale pack: resnet18-" in result.output
    assert "the entry of clip a and 2 more changed; it is rebuilt" in result.output
    assert "1 temporary file, of running or dead writers" in result.output


def test_gc_lists_first_and_removes_then(feature_set: FeatureSet) -> None:
    assert run("gc", feature_set.cache).output == "nothing to remove\n"
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    path = temporary_path(feature_set.entry_path("a"))
    left = path.with_name(path.name.replace(f".{this_writer().pid}-", f".{child.pid}-"))
    left.write_bytes(b"12345")
    result = run("gc", feature_set.cache, "--dry-run")
    assert result.output == (
        f"temporary file: {left} (5 B): process {child.pid}, which wrote it, is dead\n"
        "1 can be removed, 5 B\n"
    )
    assert left.exists()
    result = run("gc", feature_set.cache, "--json", "--dry-run")
    assert json.loads(result.output)["removed"] is False
    result = run("gc", feature_set.cache, "--json")
    assert json.loads(result.output) == {
        "garbage": [
            {
                "kind": "temporary file",
                "path": str(left),
                "reason": f"process {child.pid}, which wrote it, is dead",
                "bytes": 5,
            }
        ],
        "removed": True,
        "freed_bytes": 5,
    }
    assert not left.exists()


def test_gc_removes_orphaned_and_named_sets_on_request(
    feature_set: FeatureSet, tmp_path: Path
) -> None:
    orphan = SetSpec("ir50", {}, 1, upstream={"faces": "b" * 64})
    FeatureSet(feature_set.cache, orphan).create({})
    result = run("gc", feature_set.cache, "--orphaned")
    assert (result.exit_code, "1 removed" in result.output) == (0, True)
    assert not (feature_set.cache / orphan.folder).exists()
    temporary_path(feature_set.entry_path("a")).touch()
    result = run("gc", feature_set.cache, "--sets", "resnet18")
    assert (result.exit_code, "is being written" in result.stderr) == (1, True)


def test_pack_builds_once_and_says_why(feature_set: FeatureSet, tmp_path: Path) -> None:
    args = ("pack", feature_set.cache, "resnet18", "--array", "basic")
    result = run(*args)
    assert result.exit_code == 0
    (path,) = find_packs(feature_set.cache)
    assert result.output == (
        f"basic: 3 clips, (21, 5) float32, 420 B; built, because there was none: {path}\n"
    )
    assert "exists and is fresh" in run(*args).output
    manifest = write_manifest(tmp_path, "b", "e")
    result = run(*args, "--manifest", manifest)
    assert result.exit_code == 1
    assert "1 of 2 clips have no entry" in result.stderr
    result = run(*args, "--manifest", manifest, "--skip-missing")
    assert result.output.startswith("left out: e: no entry\nbasic: 1 clip, (7, 5) float32")
    result = run(*args, "--dtype", "float16", "--json")
    (found,) = json.loads(result.output)
    assert (found["clips"], found["dtype"], found["shape"]) == (3, "float16", [21, 5])


def test_pack_refuses_a_damaged_entry_by_its_clips_name(feature_set: FeatureSet) -> None:
    flip(feature_set.entry_path("b"))
    result = run("pack", feature_set.cache, "resnet18", "--array", "basic")
    assert result.exit_code == 1
    assert "Error: clip b: entry " in result.stderr


@pytest.mark.parametrize("command", ["status", "verify", "gc"])
def test_a_folder_that_is_no_cache_is_wrong_use(command: str, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "gone"):
        result = run(command, folder)
        assert result.exit_code == 2
        assert "expected the folder given to 'avfuse extract --cache'" in result.stderr


def test_an_unknown_set_or_a_bad_manifest_is_wrong_use(
    feature_set: FeatureSet, tmp_path: Path
) -> None:
    for args in (("verify", feature_set.cache), ("gc", feature_set.cache)):
        result = run(*args, "--sets", "vgg")
        assert (result.exit_code, "has no feature set vgg" in result.stderr) == (2, True)
    manifest = tmp_path / "m.csv"
    manifest.write_text("what,is,this\n")
    result = run("status", feature_set.cache, "--manifest", manifest)
    assert result.exit_code == 2
    assert "m.csv" in result.stderr
    result = run("pack", feature_set.cache, "--array", "basic")
    assert (result.exit_code, "Missing argument 'SET'" in result.stderr) == (2, True)


def test_a_cache_that_can_not_be_read_is_an_error_without_a_traceback(
    feature_set: FeatureSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(cache: Path) -> list[FeatureSet]:
        raise PermissionError(13, "Permission denied", str(cache))

    monkeypatch.setattr("cache.upkeep.status.list_sets", forbidden)
    result = run("status", feature_set.cache)
    assert (result.exit_code, "Error: [Errno 13] Permission" in result.stderr) == (1, True)


def test_merge_copies_names_conflicts_and_ends_with_1_for_them(
    feature_set: FeatureSet, tmp_path: Path
) -> None:
    into = tmp_path / "into"
    result = run("merge", into, feature_set.cache)
    assert result.exit_code == 0
    folder = feature_set.folder.name
    assert result.output.splitlines() == [
        f"{folder}: 3 entries and 0 records of failures copied, 0 entries there already",
        "0 files left out",
    ]
    path = FeatureSet.open(into / folder).entry_path("a")
    path.write_bytes(path.read_bytes()[:-1])
    result = run("merge", into, feature_set.cache, "--json")
    assert result.exit_code == 1
    found = json.loads(result.output)
    assert found["sets"][folder] == {"copied": 0, "same": 2, "failures": 0}
    assert [item["outcome"] for item in found["left_out"]] == ["conflict"]
    result = run("merge", into, into)
    assert result.exit_code == 2
    assert "are one cache" in result.output
    assert "Traceback" not in run("merge", into, tmp_path / "gone").output


def test_diff_tells_what_differs_and_ends_with_1(feature_set: FeatureSet, tmp_path: Path) -> None:
    result = run("diff", feature_set.cache, feature_set.cache)
    assert result.exit_code == 0
    assert "3 clips in both, 3 equal to the last bit" in result.output
    spec = SetSpec("resnet18", {"size": 17}, 1, weights="a" * 64)
    other = fill(FeatureSet(feature_set.cache, spec).create({}), tmp_path)
    with other.writer("b", source=read_source(tmp_path / "clip.mp4"), provenance={}) as writer:
        values = np.ones((STEPS, 5), np.float32)
        values[2, 3] = 3
        writer.append(times=np.arange(STEPS) / 25, basic=values)
        writer.finish()
    result = run("diff", feature_set.folder, other.folder)
    assert result.exit_code == 1
    lines = [line.strip() for line in result.output.splitlines()]
    # 35 ones against 34 and a 3: 37 / sqrt(35 * 43) = 0.953748.
    assert lines[1:] == [
        "settings.size: 13 -> 17",
        "untrained: true -> false",
        "3 clips in both, 2 equal to the last bit",
        "basic: differs in 1 clip; lowest cosine 0.953748; largest difference 2, of values up to 3",
        "b: basic: cosine 0.953748, largest difference 2",
    ]
    found = json.loads(run("diff", feature_set.folder, other.folder, "--json").output)
    assert found[0]["clips"][1]["arrays"][0]["largest"] == 2
    result = run("diff", feature_set.cache, tmp_path / "gone")
    assert (result.exit_code, "does not exist" in result.output) == (2, True)


def test_verify_in_sittings_says_what_is_left(feature_set: FeatureSet) -> None:
    result = run("verify", feature_set.cache, "--for", "10m")
    assert result.exit_code == 0
    assert result.output.splitlines()[-1].startswith("the round begun 2")
    assert result.output.splitlines()[-1].endswith("is complete")
    result = run("verify", feature_set.cache, "--for", "soon")
    assert result.exit_code == 2
    assert "expected a number and s, m or h, as in 10m" in result.output
    result = run("verify", feature_set.cache, "--for", "1h", "--sets", "resnet18")
    assert (result.exit_code, "leave out --sets" in result.output) == (2, True)


def test_verify_names_what_was_made_from_another_entry_and_calls_it_no_damage(
    feature_set: FeatureSet, tmp_path: Path
) -> None:
    heads = FeatureSet(
        feature_set.cache, SetSpec("heads", {}, 1, upstream={"resnet18": feature_set.spec.key})
    ).create({})
    made_from = {"resnet18": "0" * 64}
    source = read_source(tmp_path / "clip.mp4")
    with heads.writer("a", source=source, provenance={}, upstream=made_from) as writer:
        writer.append(times=np.arange(3.0))
        path = writer.finish()
    result = run("verify", feature_set.cache)
    assert result.exit_code == 0
    assert (
        f"to be made again: {path}: clip a: it was made from another entry of resnet18 than the "
        "one that is there; run extract"
    ) in result.output
    assert json.loads(run("verify", feature_set.cache, "--json").output)["superseded"]
    for number in range(30):  # as all of a cache that an older version made
        with heads.writer(f"m{number}", source=source, provenance={}, upstream=made_from) as writer:
            writer.append(times=np.arange(3.0))
            writer.finish()
    output = run("verify", feature_set.cache).output
    assert output.count("to be made again: ") == 20
    assert "\nand 11 more; --json lists them all\n" in output
