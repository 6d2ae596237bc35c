"""Stage two against its yardstick and against what the machine can do, every ratio from one run.

    python -m benchmarks.stage_two [--only PART ...] [--device cuda] [-o FILE.json]

The corpus is made in memory in the size of AFEW's training split: 773 clips of 1 to 5 s, 10 to 100
video steps of 1,024 numbers and 15 to 75 audio steps of 256; the 36 heads are trained on a quarter
of it. The numbers are random, only the time counts. What is compared takes turns, and the best
turn of each counts; beside the ratio of seconds stands that of processor seconds, which other
processes disturb less.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.machine import describe_machine, write_result
from benchmarks.ratio import Row
from benchmarks.stage_two import fast
from benchmarks.stage_two.cache import (
    count_changed_entries,
    fill_cache,
    fill_from_corpus,
    read_pack,
    read_plainly,
    trim_memory,
)
from benchmarks.stage_two.corpus import VIDEO, make_corpus, make_settings
from benchmarks.stage_two.encoder import measure_encoders
from benchmarks.stage_two.yardstick import train as train_yardstick
from benchmarks.stage_two.yardstick import write_files
from extractors.running.device import choose_device
from trainer.data.corpus import Corpus
from trainer.settings import TrainSettings
from trainer.sweeps.file import SWEEPS
from trainer.training.train import train_head, train_heads

PAIRS = tuple(product(("self", "relation", "transformer"), repeat=2))
SEEDS = (0, 1, 2, 3)
FEW = 193  # a quarter of the clips
SMALL = 24  # numbers a step, of heads whose arithmetic is next to nothing
ROUNDS = 2
SWEEP_EPOCHS = 15


class Seconds:
    """The best of some turns, in seconds and in processor seconds of all threads.

    Args:
        children: take the processor seconds of processes that were started and have ended.
    """

    def __init__(self, *, children: bool = False) -> None:
        self.wall = self.processor = float("inf")
        self.children = children
        self._last: tuple[float, float] | None = None

    def begin(self) -> None:
        """Leave the time up to the next call out: it is a start, or another turn."""
        self._last = None

    def lap(self, *_: object) -> None:
        """A turn is over and the next begins; the first call begins the first."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        ended = os.times()
        used = ended.children_user + ended.children_system
        now = time.perf_counter(), used if self.children else time.process_time()
        if self._last is not None:
            self.wall = min(self.wall, now[0] - self._last[0])
            self.processor = min(self.processor, now[1] - self._last[1])
        self._last = now


def compare(times: Mapping[str, Seconds], slow: str, fast: str) -> tuple[float, dict[str, Any]]:
    """Return how many times as fast it is, and the figures behind it."""
    return times[slow].wall / times[fast].wall, {
        "seconds": {name: round(of.wall, 4) for name, of in times.items()},
        "processor_seconds": {name: round(of.processor, 4) for name, of in times.items()},
        "ratio_of_processor_seconds": round(times[slow].processor / times[fast].processor, 2),
    }


class Bench:
    """Things the parts share: a folder, a device, and details beside their rows."""

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        self.folder = folder
        self.device = device
        self.details: dict[str, Any] = {}

    def one_head(self) -> list[Row]:
        """One head's epoch against the yardstick's."""
        corpus = make_corpus()
        (self.folder / "clips").mkdir()
        paths = write_files(corpus, self.folder / "clips")
        times: dict[str, Seconds] = {}
        for _ in range(2 * ROUNDS):
            for workers in (0, 2):
                own = times.setdefault(f"yardstick, {workers} loaders", Seconds())
                own.begin()
                train_yardstick(paths, 2, workers, on_epoch=own.lap)
            for name, stack in (("avfuse", "auto"), ("avfuse, padded", "off")):
                self._epochs(times.setdefault(name, Seconds()), corpus, make_settings(stack=stack))
        best = min((n for n in times if n.startswith("yard")), key=lambda n: times[n].wall)
        found, self.details["one_head"] = compare(times, best, "avfuse")
        return [Row("one head, an epoch, against the yardstick", found, 5)]

    def stack(self) -> list[Row]:
        """36 heads as one against one after another."""
        wide, small = make_corpus(FEW), make_corpus(FEW, video=(*VIDEO[:2], (SMALL,)))
        target = 3.0 if self.device == "cpu" else 15.0
        rows = []
        for name, corpus in ((f"{VIDEO[2][0]}", wide), (f"{SMALL}", small)):
            found, self.details[f"36_heads_{name}"] = self._stack(corpus)
            what = f"36 heads as one against one after another, {name} numbers a video step"
            rows.append(Row(what, found, target))
        return rows

    def _stack(self, corpus: Corpus) -> tuple[float, dict[str, Any]]:
        alone: dict[str, dict[tuple[str, str], Seconds]] = {"auto": {}, "off": {}}
        together = Seconds()
        variants = [make_settings(*pair) for pair in PAIRS]
        for _ in range(ROUNDS):
            # The seeds of a pair take as long as each other: one stands for the four.
            for stack, of_pair in alone.items():
                for pair in PAIRS:
                    own = of_pair.setdefault(pair, Seconds())
                    self._epochs(own, corpus, make_settings(*pair, stack=stack))
            together.begin()
            train_heads(
                corpus,
                range(len(corpus)),
                variants,
                SEEDS,
                device=self.device,
                on_epoch=lambda number, _: None if number else together.lap(),
            )
        times = {"as one": together}
        for name, stack in (("one after another", "auto"), ("one after another, padded", "off")):
            times[name] = Seconds()
            times[name].wall = len(SEEDS) * sum(own.wall for own in alone[stack].values())
            times[name].processor = len(SEEDS) * sum(own.processor for own in alone[stack].values())
        return compare(times, "one after another", "as one")

    def _epochs(self, own: Seconds, corpus: Corpus, settings: TrainSettings) -> None:
        own.begin()
        clips = range(len(corpus))
        train_head(corpus, clips, settings, device=self.device, on_epoch=own.lap)

    def sweep(self) -> list[Row]:
        """The 36 heads of icmi19's Table 2 by the command line, as one against one by one.

        Beside training there are starts, reading and reports, the same work in both.
        """
        manifest = fill_from_corpus(self.folder / "sweep" / "cache", make_corpus(FEW))
        file = self.folder / "table2.toml"
        # The grid alone: concatenation, below it, is no attention.
        file.write_text((SWEEPS / "icmi19-table2.toml").read_text().split("[[cells]]")[0])
        common = [sys.executable, "-m", "pipeline", "sweep", str(file), str(manifest)]
        common += ["--cache", str(manifest.parent / "cache"), "--seeds", str(len(SEEDS))]
        common += ["--device", self.device, "--set", f"optim.epochs={SWEEP_EPOCHS}"]
        common += ["--set", "audio.set=alexnet", "--set", "audio.encoder=none"]
        times = {"as one": Seconds(children=True), "one by one": Seconds(children=True)}
        for stack, own in zip(("auto", "off"), times.values(), strict=True):
            out = self.folder / f"swept-{stack}"
            own.lap()
            command = [*common, "--set", f"optim.stack={stack}", "-o", str(out)]
            subprocess.run(command, check=True, capture_output=True)
            own.lap()
        found, self.details["sweep"] = compare(times, "one by one", "as one")
        what = "36 heads by `avfuse sweep` as one against one by one, starts and reports included"
        return [Row(what, found, 1.5)]

    def pack(self) -> list[Row]:
        """A verified pack against ``numpy.fromfile``, in new memory, as when training begins.

        In memory that a process has from before both are faster, and the sums count for more.
        """
        made = fill_cache(self.folder / "long")
        path = read_pack(made, verify=True)
        found = {}
        for memory in ("new", "kept"):
            times = {name: Seconds() for name in ("pack", "pack, not verified", "numpy.fromfile")}
            for _ in range(10 * ROUNDS):
                for name, read in (
                    ("pack", lambda: read_pack(made, verify=True)),
                    ("pack, not verified", lambda: read_pack(made, verify=False)),
                    ("numpy.fromfile", lambda: read_plainly(path)),
                ):
                    if memory == "new":
                        trim_memory()
                    times[name].begin()
                    times[name].lap()
                    read()
                    times[name].lap()
            found[memory], self.details[f"pack_{memory}"] = compare(times, "numpy.fromfile", "pack")
        what = "pack reading, warm and verified, against numpy.fromfile, in new memory"
        return [Row(what, found["new"], 0.8)]

    def nothing(self) -> list[Row]:
        """Another enhancement and another head extract nothing."""
        (self.folder / "nothing").mkdir()
        settings = make_settings()
        changed, entries = count_changed_entries(self.folder / "nothing", settings)
        self.details["nothing"] = {"entries": entries}
        what = "another enhancement, another head: entries written"
        return [Row(what, changed, 0, "entries", most=True)]

    def fast(self) -> list[Row]:
        """The default preset by the command line: seconds of the whole command, and its memory."""
        rows = []
        for clips, heads, division, seconds in fast.TASKS:
            folder = self.folder / f"fast-{clips}"
            folder.mkdir()
            manifest = fast.make_cache(folder, clips)
            found = fast.train(manifest, folder / "run", division)
            self.details[f"fast_{clips}"] = found
            what = f"`avfuse train` as it comes, {heads} heads on {clips} clips"
            rows.append(Row(what, found["seconds"], seconds, "s", most=True))
            memory = fast.MOST_GIGABYTES
            rows.append(Row(f"{what}: memory", found["gigabytes"], memory, "GB", most=True))
        return rows

    def encoder(self) -> list[Row]:
        """Epochs and memory of heads with their audio encoder in the loop; no ratio of them."""
        self.details["encoder"] = measure_encoders()
        return []


PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    "pack": Bench.pack,  # first: in memory that is new, as training begins
    "one-head": Bench.one_head,
    "stack": Bench.stack,
    "sweep": Bench.sweep,
    "fast": Bench.fast,
    "nothing-extracted": Bench.nothing,
    "encoder": Bench.encoder,
}


def run_parts(only: Sequence[str] = (), *, device: str = "cpu") -> dict[str, Any]:
    """Measure some parts, or all: rows of the table, and the figures behind them."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="avfuse-bench-two-") as folder:
        bench = Bench(Path(folder), device)
        for name in only or PARTS:
            found = PARTS[name](bench)
            rows += found
            for row in found:
                click.echo(f"{row.what}: {row.measured:.2f} {row.unit}, target {row.target:g}")
    return {
        "threads": torch.get_num_threads(),
        "rows": [row.to_json() for row in rows],
        "details": bench.details,
    }


@click.command()
@click.option("--only", multiple=True, type=click.Choice(list(PARTS)), help="Parts to measure.")
@click.option("--device", default="cpu", show_default=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON file for the result.")
def main(only: tuple[str, ...], device: str, out: Path | None) -> None:
    """Measure stage two."""
    try:
        device = choose_device(device)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    result = {"machine": describe_machine(), **run_parts(only, device=device)}
    if out:
        write_result(out, result)
    else:
        click.echo(json.dumps(result, indent=2))
