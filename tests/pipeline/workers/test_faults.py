"""Disks that are full, read-only or gone, workers killed for their memory, two runs at once."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from benchmarks.trust.kills.extract import SETS, make_corpus
from benchmarks.trust.kills.launcher import Launcher
from cache.progress import Progress
from cache.sets.feature_set import find_set, list_sets
from cache.sets.scan import find_temporaries
from cache.upkeep.verify import verify_cache
from pipeline.cli import main
from tests.conftest import SMALL
from tests.pipeline.videos import write_video

ROOT = Path(__file__).parent.parent.parent.parent
CLIPS = 13


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("faults") / "clips", CLIPS)


def extract(manifest: Path, cache: Path, *arguments: str) -> Result:
    command = ["extract", str(manifest), "--cache", str(cache), "--sets", SETS, *arguments]
    return CliRunner().invoke(main, command)


def states(cache: Path) -> dict[str, str]:
    report = json.loads((cache / "extract-report.json").read_text())
    return {clip["clip"]: clip["state"] for clip in report["clips"]}


def assert_whole(cache: Path, *, clips: int = CLIPS) -> None:
    assert verify_cache(cache).damage == ()
    assert list(find_temporaries(cache)) == []
    assert [len(item.clip_ids()) for item in list_sets(cache)] == [clips, clips, clips]


# Runs in a mount namespace of its own, where mounting is allowed. One line of JSON per run.
MOUNTS = """
import json, subprocess, sys
from pathlib import Path
from click.testing import CliRunner
from cache.sets.scan import find_temporaries
from cache.upkeep.verify import verify_cache
from pipeline.cli import main

manifest, disk = sys.argv[1], Path(sys.argv[2])
cache = disk / "cache"

def extract(*arguments):
    command = ["extract", manifest, "--cache", str(cache), "--sets", sys.argv[3], *arguments]
    result = CliRunner().invoke(main, command)
    report = verify_cache(cache)
    print(json.dumps({
        "code": result.exit_code, "error": result.stderr, "output": result.stdout,
        "entries": report.entries, "damage": len(report.damage),
        "temporaries": len(list(find_temporaries(cache)))}), flush=True)

def remount(options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)

extract("--jobs", "1")  # the error comes from a worker
extract("--jobs", "0")
remount("size=64m")
remount("ro")
extract("--jobs", "0")
remount("rw")
extract("--jobs", "0")
remount("ro")
extract("--jobs", "0", "--out", sys.argv[4])
"""


@pytest.mark.slow
def test_a_disk_that_fills_up_or_turns_read_only_costs_only_what_was_not_committed(
    manifest: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    inside = f'mount -t tmpfs -o size=160k none "{disk}" && exec "$@"'
    command = ["unshare", "-rm", "sh", "-c", inside, "sh"]
    if not shutil.which("unshare") or subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("no small file system can be mounted here")
    script = [
        sys.executable,
        "-c",
        MOUNTS,
        str(manifest),
        str(disk),
        SETS,
        str(tmp_path / "r.json"),
    ]
    run = subprocess.run([*command, *script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    full, again, read_only, done, nothing_to_do = map(json.loads, run.stdout.splitlines())
    for one in (full, again):
        assert one["code"] == 1
        assert "No space left on device; free space on that disk" in one["error"]
        assert "run the same command again to go on" in one["error"]
        assert 0 < one["entries"] < 3 * CLIPS
        assert f" of {CLIPS} clips are done" in one["error"]
    assert again["entries"] >= full["entries"]
    assert read_only["code"] == 1
    assert "the file system is read-only: mount it writable" in read_only["error"]
    assert read_only["entries"] == again["entries"]
    assert (done["code"], done["entries"]) == (0, 3 * CLIPS)  # identity comes with faces
    assert nothing_to_do["code"] == 0
    assert f"0 computed now, {CLIPS} unchanged" in nothing_to_do["output"]
    for one in (full, again, read_only, done, nothing_to_do):
        assert (one["damage"], one["temporaries"]) == (0, 0)


def test_a_cache_that_vanishes_is_named_and_not_made_anew_in_its_place(
    manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, elsewhere = tmp_path / "cache", tmp_path / "unmounted"

    def unmount_after_three(progress: Progress, done: int, *_: object, **__: object) -> None:
        if done == 3 and cache.exists():
            cache.rename(elsewhere)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "show", unmount_after_three)
        result = extract(manifest, cache, "--jobs", "0")
    assert result.exit_code == 1
    assert "the folder is gone (removed, or its disk unmounted?): bring it back" in result.stderr
    assert f"3 of {CLIPS} clips are done" in result.stderr
    assert not cache.exists()
    elsewhere.rename(cache)
    again = extract(manifest, cache, "--jobs", "0")
    assert again.exit_code == 0
    assert f"{CLIPS - 3} computed now, 3 unchanged" in again.output
    assert_whole(cache)


class Killer(threading.Thread):
    """Kills the worker that has a file open, as the kernel does when memory is short."""

    def __init__(self, file: Path, *, times: int) -> None:
        super().__init__(daemon=True)
        self.file = file
        self.times = times
        self.kills = 0
        self.stop = threading.Event()

    def run(self) -> None:
        killed = set()  # one that dies slowly is seen again
        while not self.stop.is_set() and self.kills < self.times:
            for pid in workers_of(os.getpid()):
                if pid not in killed and self.file in open_files(pid):
                    os.kill(pid, signal.SIGKILL)
                    killed.add(pid)
                    self.kills += 1
            self.stop.wait(0.001)


def open_files(pid: int) -> set[Path]:
    """The files that a process has open."""
    files = set()
    for link in Path(f"/proc/{pid}/fd").glob("*"):
        with contextlib.suppress(OSError):  # closed meanwhile
            files.add(link.readlink())
    return files


def workers_of(parent: int) -> list[int]:
    """The living workers of a process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_text()
        except OSError:
            continue
        if fields[0] != "Z" and int(fields[1]) == parent and "pipeline.workers.pool" in command:
            found.append(int(folder.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers in /proc")
def test_a_clip_that_is_killed_for_its_memory_twice_is_failed_and_the_run_goes_on(
    tmp_path: Path,
) -> None:
    cache, manifest = tmp_path / "cache", make_corpus(tmp_path / "clips", CLIPS)
    # Long enough to be caught with the file open.
    images = np.random.default_rng(5).integers(0, 256, (599, 62, 94, 3), np.uint8)
    long = write_video(tmp_path / "clips" / "c5.mp4", list(images), codec="mpeg4")
    killer = Killer(long, times=2)
    killer.start()
    try:
        result = extract(manifest, cache, "--jobs", "1")
    finally:
        killer.stop.set()
        killer.join()
    assert killer.kills == 2
    assert result.exit_code == 1
    assert [clip for clip, state in states(cache).items() if state == "failed"] == ["c5"]
    assert "killed twice while it held this clip, the second time alone" in result.stdout
    assert find_set(cache, "faces").failure("c5") is None
    # The clip is sound and the machine has memory again.
    again = extract(manifest, cache, "--jobs", "0")
    assert again.exit_code == 0
    assert f"1 computed now, {CLIPS - 1} unchanged" in again.output
    subprocess.run(
        [sys.executable, "-m", "pipeline", "cache", "gc", str(cache)], check=True, cwd=ROOT
    )
    assert_whole(cache)


# As above: no folder for temporary files, no semaphores, a working folder that can't be written.
NO_FOLDER = """
mount --bind "$1" /mnt
for folder in /tmp /var/tmp /usr/tmp /dev/shm; do
    test ! -d $folder || mount -t tmpfs -o ro none $folder || exit
done
cd /proc && unset TMPDIR TEMP TMP && shift && exec "$@"
"""


@pytest.mark.slow
def test_workers_need_no_folder_for_temporary_files_and_no_semaphores(
    manifest: Path, tmp_path: Path
) -> None:
    shutil.copytree(manifest.parent, tmp_path / "clips")
    inside = ["unshare", "-rm", "sh", "-c", NO_FOLDER, "sh", str(tmp_path)]
    if not shutil.which("unshare") or subprocess.run([*inside, "true"], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    # PyTorch imports dill where it is, as beside `datasets`, and that wants a folder for its own.
    (tmp_path / "dill.py").write_text("def extend(use_dill: bool) -> None: ...\n")

    def avfuse(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*inside, sys.executable, "-m", "pipeline", *arguments],
            env=os.environ | {"PYTHONPATH": f"/mnt:{ROOT}"},
            capture_output=True,
            text=True,
            check=False,
        )

    place = ("/mnt/clips/manifest.csv", "--cache", "/mnt/cache")
    how = ("--sets", "faces,resnet18", *SMALL, "--jobs", "2", "--consumer", "shared")
    done = avfuse("extract", *place, *how)
    assert done.returncode == 0
    said = done.stderr.removeprefix("loading ...\n")  # on a busy machine
    assert said.startswith("Warning: resnet18 has random weights")
    assert said.count("\n") == 1  # and no more
    assert len(find_set(tmp_path / "cache", "resnet18").clip_ids()) == CLIPS
    verified = avfuse("cache", "verify", "/mnt/cache", "--jobs", "2")
    assert verified.returncode != 0
    assert "semaphores, which Linux keeps in /dev/shm (Read-only file system)" in verified.stderr
    assert avfuse("cache", "verify", "/mnt/cache").returncode == 0


@pytest.mark.slow
def test_two_runs_on_one_cache_at_once_both_finish_and_every_entry_is_whole(
    manifest: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    command = ["extract", str(manifest), "--cache", str(cache), "--sets", SETS, "--jobs", "0"]
    with Launcher() as one, Launcher() as two:
        for launcher in (one, two):
            launcher.start(command)
        assert (one.wait(), two.wait()) == (0, 0)
    assert_whole(cache)
    assert set(states(cache).values()) == {"partial"}  # noise has no face
    again = extract(manifest, cache, "--jobs", "0")
    assert f"0 computed now, {CLIPS} unchanged" in again.output
