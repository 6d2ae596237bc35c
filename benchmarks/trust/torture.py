"""Kill ``avfuse extract`` at random moments, many times, and see that nothing committed is lost.

    python -m benchmarks.trust.torture --kills 300 --folder /tmp/torture

Every run is killed by SIGKILL of its whole process group; after each kill the cache is read
through, every entry that was there before is compared byte for byte, and what ``avfuse cache gc``
finds is removed. At last a run goes to its end, and every array is compared with those of a run
that nobody disturbed. The test suite does the same with 20 kills.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import click
import numpy as np

from benchmarks.machine import describe_machine
from cache.codec import fields_to_json
from cache.manifest.clip import Clip
from cache.manifest.manifest import write_manifest
from cache.sets.feature_set import list_sets
from cache.sets.scan import find_temporaries
from cache.upkeep.gc import find_garbage, remove_garbage
from cache.upkeep.verify import verify_cache

ROOT = Path(__file__).parent.parent.parent
SETS = "faces,spectrogram"
WORKERS_EVERY = 7  # of so many runs one is a fresh process with two worker processes

# Imports once and forks a process per run: what is killed is the work, not the import of torch.
LAUNCHER = """
import json, os, sys
import torch
import pipeline.extract.clusters, pipeline.extract.plan, pipeline.extract.run
import pipeline.extract.settings, pipeline.extract.summary, pipeline.faces.overrides
from pipeline.cli import main
from pipeline.faces.detect import FivePointPredictor, hog
hog(), FivePointPredictor()
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        main(json.loads(line), prog_name="avfuse")
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


@dataclass
class Outcome:
    """Outcome of the kills."""

    kills: int = 0
    kills_with_workers: int = 0
    finished_before_the_kill: int = 0
    kills_that_left_a_temporary_file: int = 0
    entries_checked_after_kills: int = 0
    entries_lost: int = 0
    damaged: int = 0
    sets_without_set_json: int = 0
    temporary_files_after_gc: int = 0
    entries_compared_at_the_end: int = 0
    entries_that_differ_at_the_end: int = 0
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether every promise held."""
        return not (
            self.entries_lost
            or self.damaged
            or self.sets_without_set_json
            or self.temporary_files_after_gc
            or self.entries_that_differ_at_the_end
        )


class Launcher:
    """Starts runs of ``avfuse``, each in a process group of its own.

    What killed ones leave for their workers in the folder for temporary files goes at the end.
    """

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="avfuse-torture-")
        self._process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER],
            cwd=ROOT,
            env=os.environ | {"TMPDIR": self._temporary.name},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate(timeout=60)
        self._temporary.cleanup()

    def start(self, arguments: list[str]) -> int:
        """Begin a run; returns the number of its process group."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        return int(self._line())

    def wait(self) -> int:
        """Wait for the run that was begun last; returns its exit code."""
        return int(self._line())

    def _line(self) -> str:
        output: IO[str] | None = self._process.stdout
        assert output is not None
        return output.readline()


def make_corpus(folder: Path, clips: int) -> Path:
    """Write tiny clips with sound and their manifest."""
    from tests.pipeline.videos import write_video

    folder.mkdir(parents=True)
    rows = []
    for number in range(clips):
        rng = np.random.default_rng(number)
        images = [rng.integers(0, 256, (62, 94, 3), np.uint8) for _ in range(3)]
        seconds = np.arange(4_000) / 16_000
        sound = 0.3 * np.sin(2 * np.pi * (150 + 10 * number) * seconds, dtype=np.float32)[None]
        path = write_video(folder / f"c{number}.mp4", images, codec="mpeg4", sound=sound)
        rows.append(Clip(f"c{number}", path))
    return write_manifest(folder / "manifest.csv", rows)


def torture(
    folder: Path,
    *,
    kills: int,
    clips: int,
    seed: int,
    longest: float = 0.25,
    options: Sequence[str] = ("--sets", SETS),
    workers_every: int = WORKERS_EVERY,
) -> Outcome:
    """Kill runs until there were enough, then compare with an undisturbed one.

    Args:
        folder: for the clips and both caches; new.
        kills: how many.
        clips: how many.
        seed: of the moments.
        longest: seconds from a run's first file to its kill.
        options: of ``avfuse extract``, which say what is made.
        workers_every: of so many runs one has two worker processes, the others none.
    """
    started = time.monotonic()
    outcome = Outcome()
    generator = random.Random(seed)  # noqa: S311 - when to kill
    manifest = make_corpus(folder / "clips", clips)
    cache, undisturbed = folder / "cache", folder / "undisturbed"
    contents: dict[Path, bytes] = {}
    with Launcher() as launcher:
        while outcome.kills < kills:
            workers = outcome.kills % workers_every == workers_every - 1
            command = _command(manifest, cache, 2 * workers, options)
            if _kill_one(launcher, command, cache, generator.uniform(0, longest)):
                outcome.kills += 1
                outcome.kills_with_workers += workers
                _check(cache, contents, outcome)
            else:  # it was faster: begin again
                outcome.finished_before_the_kill += 1
                shutil.rmtree(cache)
                contents.clear()
        for place in (cache, undisturbed):
            launcher.start(_command(manifest, place, 0, options))
            assert launcher.wait() == 0
        _check(cache, contents, outcome)
    _compare(cache, undisturbed, outcome)
    outcome.seconds = round(time.monotonic() - started, 1)
    return outcome


def _command(manifest: Path, cache: Path, jobs: int, options: Sequence[str]) -> list[str]:
    return ["extract", str(manifest), "--cache", str(cache), "--jobs", str(jobs), *options]


def _kill_one(launcher: Launcher, command: list[str], cache: Path, delay: float) -> bool:
    """Start a run, kill it ``delay`` seconds after it began to write; False if it ended first."""
    before = _names(cache)
    group = launcher.start(command)
    deadline = time.monotonic() + 120
    while _names(cache) == before and _runs(group):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(delay)
    if _runs(group):
        os.killpg(group, signal.SIGKILL)
    killed = launcher.wait() == -signal.SIGKILL
    while _runs(-group):  # its workers take a moment to die
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return killed


def _names(cache: Path) -> set[str]:
    """Every file and folder; what vanishes while it is looked at is left out."""
    return {f"{at}/{name}" for at, folders, files in os.walk(cache) for name in folders + files}


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _check(cache: Path, contents: dict[Path, bytes], outcome: Outcome) -> None:
    """Read the cache through, compare what was there before, and remove what is left over."""
    if not list_sets(cache):
        assert not contents
        return
    report = verify_cache(cache)
    begun = [item for item in report.damage if not list(item.path.rglob("*.h5"))]
    outcome.sets_without_set_json += len(begun)
    outcome.damaged += len(report.damage) - len(begun)
    outcome.kills_that_left_a_temporary_file += bool(report.temporaries)
    for path, content in contents.items():
        outcome.entries_lost += not path.exists() or path.read_bytes() != content
    for path in cache.rglob("[!.]*.h5"):
        contents.setdefault(path, path.read_bytes())
    outcome.entries_checked_after_kills += len(contents)
    remove_garbage(find_garbage(cache))
    outcome.temporary_files_after_gc += len(list(find_temporaries(cache)))


def _compare(cache: Path, undisturbed: Path, outcome: Outcome) -> None:
    for expected in list_sets(undisturbed):
        killed = next(item for item in list_sets(cache) if item.spec == expected.spec)
        assert killed.clip_ids() == expected.clip_ids()
        for clip in expected.clip_ids():
            one, two = killed.read(clip, verify=True), expected.read(clip, verify=True)
            same = (one.checksums, one.state, one.missing) == (
                two.checksums,
                two.state,
                two.missing,
            )
            outcome.entries_compared_at_the_end += 1
            outcome.entries_that_differ_at_the_end += not same


@click.command()
@click.option("--kills", default=300, show_default=True)
@click.option("--clips", default=60, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option(
    "--folder", type=click.Path(path_type=Path), required=True, help="A new folder; it stays."
)
def main(kills: int, clips: int, seed: int, folder: Path) -> None:
    """Kill extractions many times and print what was lost as JSON."""
    outcome = torture(folder, kills=kills, clips=clips, seed=seed)
    click.echo(json.dumps({**describe_machine(), **fields_to_json(outcome)}, indent=2))
    sys.exit(0 if outcome.clean else 1)


if __name__ == "__main__":
    main()
