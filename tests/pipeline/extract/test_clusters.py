"""``extract --engine``: real clusters of this machine, and what they say where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.trust.kills.extract import make_corpus
from cache.entries.coverage import Coverage
from cache.sets.feature_set import list_sets
from pipeline.extract import clusters as engines
from pipeline.extract.clusters import Engine, EngineError, run_shard
from pipeline.extract.job import ClipResult, SetResult
from tests.pipeline.extracting import extract, report

SETS = ("--sets", "faces,spectrogram")
NUM_CLIPS = 5


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return make_corpus(tmp_path / "clips", NUM_CLIPS)


def run(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Extract in a process of its own: clusters leave threads behind."""
    command = [sys.executable, "-m", "pipeline", "extract", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=200, env=os.environ | environment
    )


def checksums(cache: Path) -> dict[str, Any]:
    return {
        f"{item.spec.folder}/{clip}": item.read(clip, verify=True).checksums
        for item in list_sets(cache)
        for clip in item.clip_ids()
    }


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_an_engine_fills_the_cache_as_this_machine_does(
    engine: str, package: str, manifest: Path, tmp_path: Path
) -> None:
    pytest.importorskip(package)
    (manifest.parent / "c3.mp4").write_bytes(b"no video")
    assert extract(manifest, tmp_path / "here", *SETS).exit_code == 1
    done = run(manifest, "--cache", tmp_path / "there", *SETS, "--engine", engine, "--jobs", "2")
    assert done.returncode == 1, done.stderr  # a failed clip is told by its shard, too
    assert f"{NUM_CLIPS} clips: 0 ok, 4 partial, 1 failed; 5 computed now" in done.stdout
    expected = checksums(tmp_path / "here")
    assert len(expected) == 3 * (NUM_CLIPS - 1)  # identity comes with faces
    assert checksums(tmp_path / "there") == expected
    here, there = report(tmp_path / "here"), report(tmp_path / "there")
    assert list(there) == list(here)
    for clip, row in there.items():
        assert row.keys() == here[clip].keys()
        assert all(row[key] == here[clip][key] for key in row if not key.startswith("seconds"))


@pytest.mark.slow
def test_shards_that_cannot_run_are_an_error_that_says_how_to_go_on(tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    manifest = make_corpus(tmp_path / "clips", 2)
    # Read here and not by the shards: they start in a folder that isn't this one.
    code = (
        "from pathlib import Path\n"
        "from pipeline.extract.clusters import Engine, EngineError\n"
        f"engine = Engine('dask', ({str(manifest)!r}, '--sets', 'faces'), Path('/'), 1)\n"
        "try:\n"
        "    list(engine.map_clips(2))\n"
        "except EngineError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert "2 of 2 shards ended without a report, such as shard " in done.stdout, done.stderr
    assert "(exit code 2): Error: Missing option '--cache'." in done.stdout
    assert "run the same command again to go on" in done.stdout


def test_a_shard_in_a_folder_that_is_not_there_is_reported() -> None:
    found = run_shard(["m.csv"], Path("/not/there"), "1/2")
    assert set(found) == {"error"}
    assert found["error"].startswith("shard 1/2: ")
    assert "/not/there" in found["error"]


@pytest.mark.parametrize(("engine", "module"), [("dask", "dask.distributed"), ("ray", "ray")])
def test_a_missing_package_is_named(
    engine: Any, module: str, manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    result = extract(manifest, tmp_path / "cache", *SETS, "--engine", engine)
    assert result.exit_code == 1
    assert f"pip install 'avfuse[{engine}]'" in result.output


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_an_error(manifest: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    done = run(
        manifest, "--cache", tmp_path / "cache", *SETS, "--engine", "dask",
        DASK_SCHEDULER_ADDRESS="tcp://127.0.0.1:9", DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="1s",
    )  # fmt: skip
    assert done.returncode == 1
    assert "Error: --engine dask: no cluster could be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_shard_without_a_folder_for_its_report_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/not/there")
    (error,) = run_shard(["m.csv"], Path("/"), "1/2").values()
    assert error.startswith("shard 1/2: [Errno 2] No such file or directory: '/not/there/avfuse-")


def test_an_engine_cuts_shards_itself(manifest: Path, tmp_path: Path) -> None:
    result = extract(manifest, tmp_path / "c", *SETS, "--engine", "dask", "--shard", "1/2")
    assert result.exit_code == 2
    assert "cuts the manifest into shards itself; leave out --shard" in result.output


def test_shards_are_told_what_the_user_said_and_nothing_else(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Engine] = []

    def note(engine: Engine, num_clips: int) -> Any:
        assert num_clips == NUM_CLIPS
        told.append(engine)
        yield from ()

    monkeypatch.setattr(engines.Engine, "map_clips", note)
    cache = tmp_path / "cache"
    more = ("--set", "faces.upsample=0", "--set", "decode.chunk_bytes=9999999", "--retry-failed")
    result = extract(manifest, cache, *SETS, *more, "--engine", "ray", "--jobs", "3", "--json")
    assert result.exit_code == 0, result.output
    (engine,) = told
    assert (engine.name, engine.slots, engine.folder) == ("ray", 3, Path.cwd())
    assert sorted(engine.command) == sorted(
        [str(manifest), "--cache", str(cache), *SETS, *more, "--jobs", "1"]
    )


@pytest.mark.parametrize("coverage", [None, Coverage({"detect": 3, "whole": 2}, 0.25)])
def test_a_result_survives_the_way_through_a_report(coverage: Coverage | None) -> None:
    result = ClipResult(
        "a",
        {"faces": SetResult("partial", ("no",), fresh=False)},
        coverage,
        seconds=1.25,
        seconds_by_step={"faces": 0.75, "decode": 0.5},
    )
    assert ClipResult.from_json(result.to_json()) == result
    other = replace(result, sets={"faces": SetResult("ok")})
    assert ClipResult.from_json(other.to_json()) != result


def test_a_cluster_that_gives_up_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class LostMachineError(Exception):
        pass

    def lose(*_: object, **__: object) -> Any:
        raise LostMachineError("worker-3")

    monkeypatch.setattr(engines, "_connect", lambda *_: None)
    monkeypatch.setattr("joblib.Parallel", lambda **_: lose)
    with pytest.raises(EngineError, match="dask failed: LostMachineError: worker-3"):
        list(Engine("dask", (), Path.cwd(), 1).map_clips(3))
