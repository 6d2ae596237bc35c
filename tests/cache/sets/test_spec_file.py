"""Making a set's folder: killed before every single step, and by several processes at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cache.commit import CacheWriteError, temporary_path
from cache.sets.feature_set import FeatureSet, SetSpec, list_sets
from cache.sets.scan import find_broken_sets
from cache.upkeep.gc import find_garbage, remove_garbage
from cache.upkeep.status import read_status

SPEC = SetSpec("resnet18", {"size": 13}, version=1)
STEPS = ("open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree")
ROOT = Path(__file__).parent.parent.parent.parent

CREATE = """
import sys
from pathlib import Path
from cache.sets.feature_set import FeatureSet, SetSpec
sys.stdin.readline()
FeatureSet(Path(sys.argv[1]), SetSpec("resnet18", {"size": 13}, version=1)).create({})
"""


def create_until(step: int, cache: Path) -> int:
    """Create the set in a child that kills itself before its so-many-th step; its exit code."""
    pid = os.fork()
    if pid == 0:
        left = step

        def count(event: str, _: object) -> None:
            nonlocal left
            if event in STEPS:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            FeatureSet(cache, SPEC).create({"host": "here"})
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_kill_at_any_step_leaves_a_whole_set_or_one_that_gc_removes(tmp_path: Path) -> None:
    left_something = 0
    for step in range(100):
        cache = tmp_path / f"{step}"
        code = create_until(step, cache)
        if cache.exists() and any(cache.iterdir()):
            assert find_broken_sets(cache) == []
            begun = read_status(cache).temporaries
            garbage = find_garbage(cache)
            assert len(garbage) == begun <= 1
            left_something += begun
            remove_garbage(garbage)
            assert [path.name for path in cache.iterdir()] in ([], [SPEC.folder])
        feature_set = FeatureSet(cache, SPEC).create({"host": "there"})
        assert [item.spec for item in list_sets(cache)] == [SPEC]
        if code == 0:
            break
        assert code == -signal.SIGKILL
    assert feature_set.provenance["host"] == "here"  # the last one came to its end
    assert step > 8
    assert left_something >= 3


def test_processes_that_create_one_set_at_once_all_succeed_and_leave_one(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CREATE, str(tmp_path / "cache")]
    processes = [subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) for _ in range(5)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.close()
    assert [process.wait(60) for process in processes] == [0] * 5
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [SPEC.folder]
    assert find_broken_sets(tmp_path / "cache") == []


def test_one_that_comes_second_keeps_what_the_first_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = FeatureSet(tmp_path, SPEC).create({"host": "here"})
    meanwhile = first.folder.rename(tmp_path / "meanwhile")

    def appear(folder: Path) -> Path:  # just after it was seen to be missing
        meanwhile.rename(folder)
        return temporary_path(folder)

    monkeypatch.setattr("cache.sets.spec.temporary_path", appear)
    assert FeatureSet(tmp_path, SPEC).create({"host": "there"}).provenance["host"] == "here"
    assert [path.name for path in tmp_path.iterdir()] == [SPEC.folder]


def test_a_set_that_cannot_be_made_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / SPEC.folder).write_text("a file where the set's folder goes")
    with pytest.raises(CacheWriteError, match=r"feature set resnet18 can't be written to .*; "):
        FeatureSet(tmp_path, SPEC).create({})
    assert [path.name for path in tmp_path.iterdir()] == [SPEC.folder]


def test_the_folder_of_a_live_maker_is_no_garbage(tmp_path: Path) -> None:
    FeatureSet(tmp_path, SPEC).create({})
    temporary_path(tmp_path / "faces-0123456789abcdef").mkdir()
    assert find_garbage(tmp_path) == []
    assert read_status(tmp_path).temporaries == 1
