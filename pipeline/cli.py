"""The ``avfuse`` command: one click group whose subcommands are imported when they are used.

``avfuse train`` therefore starts without dlib, OpenCV or PyAV, and ``avfuse --help`` without torch.
"""

from __future__ import annotations

import ctypes
import importlib
import os
from typing import cast

import click

# Threads meet at the end of every small operation. To spin for long there makes an epoch 10 times
# slower where other processes want the cores too; to sleep at once makes it 1.5 times slower where
# they don't (benchmarks/NOTES.md). GNU OpenMP's threads spin so many times, then sleep.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}
# Networks free and ask for maps of many megabytes all the time. glibc hands such memory back to the
# kernel, which clears every page of it that is asked for again: a tenth of the time of IR-50, a
# seventh of that of wide heads (benchmarks/NOTES.md). So much is kept instead; blocks above it, and
# free memory above it, go back as ever.
KEPT_BYTES = 1 << 30
KEEPING = {name: str(KEPT_BYTES) for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")}
_OPTIONS = {"MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_MMAP_THRESHOLD_": -3}  # of glibc's malloc.h


def prepare_process() -> bool:
    """Say both, for this process and for those that it starts.

    Returns:
        Whether threads will wait otherwise than before, once torch is loaded.
    """
    keep_freed_memory()
    return set_waiting()


def set_waiting() -> bool:
    """Let threads spin briefly and then sleep, unless the environment says how they wait.

    Returns:
        Whether it was set here.
    """
    if WAITING.keys() & os.environ.keys():
        return False
    os.environ.update(WAITING)
    return True


def keep_freed_memory() -> bool:
    """Keep freed memory for what is asked for next, unless the environment says otherwise.

    glibc reads the environment when a process starts, so it takes effect in those that this one
    starts; here the same is said by a call.

    Returns:
        Whether it was set here; never with another C library than glibc.
    """
    if KEEPING.keys() & os.environ.keys() or "glibc.malloc" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl and macOS lack it; Windows can't be asked
        return False
    os.environ.update(KEEPING)
    return all(mallopt(option, int(KEEPING[name])) == 1 for name, option in _OPTIONS.items())


# command -> (where it lives, one line for `avfuse --help`)
COMMANDS: dict[str, tuple[str, str]] = {
    "index": ("pipeline.commands.index:index", "Write a manifest from a corpus's own layout."),
    "doctor": ("pipeline.commands.doctor:doctor", "Look a corpus over before a long run."),
    "extract": ("pipeline.commands.extract:extract", "Stage one: clips to feature sets."),
    "inspect": ("pipeline.commands.inspect:inspect", "Pictures of the faces, to check by eye."),
    "cache": (
        "pipeline.commands.cache:cache",
        "Look after a cache: status, verify, gc, pack, import.",
    ),
    "weights": ("pipeline.commands.weights:weights", "Which network a weight file belongs to."),
    "finetune": (
        "pipeline.commands.finetune:finetune",
        "A face network on still images, for extract.",
    ),
    "train": ("trainer.commands.train:train", "Stage two: a run of heads from a cache."),
    "sweep": ("trainer.commands.sweep:sweep", "Stage two: a table of runs from a file."),
    "evaluate": ("trainer.commands.evaluate:evaluate", "Print a run's results with intervals."),
    "compare": ("trainer.commands.compare:compare", "McNemar's exact test between two runs."),
    "ensemble": ("trainer.commands.ensemble:ensemble", "Mean the probabilities of several runs."),
    "report": ("trainer.commands.report:report", "A run as one HTML page."),
    "predict": ("pipeline.commands.predict:predict", "Classify any video, with a run or without."),
    "demo": ("pipeline.commands.demo:demo", "The whole job on a corpus made on the spot."),
}


class LazyGroup(click.Group):
    """A click group that imports a subcommand's module when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order of the work."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None for an unknown name, which click turns into its error."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        prepare_process()
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        return cast(click.Command, getattr(importlib.import_module(module), attribute))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any of them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="avfuse")
def main() -> None:
    """Features from video clips into a cache that stays whole and fresh; heads trained from it.

    The usual order: index a corpus, extract its features, train heads, predict.
    """
