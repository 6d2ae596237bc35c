"""The ``avfuse`` command: a table of commands, each imported when it is called.

Commands import PyTorch, dlib and OpenCV only when they begin to work, so that every ``--help`` and
every refusal answers at once, and ``avfuse train`` never needs dlib, OpenCV or PyAV. Before any of
them is loaded, ``prepare_process`` sets what libraries read only once, at their start.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import click
from click.shell_completion import CompletionItem

from pipeline.commands.completion import COMPLETING
from pipeline.commands.events import asks_for_events, logged_events
from pipeline.commands.group import Group, explain_import
from pipeline.commands.streams import shown_streams
from pipeline.commands.version import VERSION

# command -> (where it lives, its line in `avfuse --help`), in the order of the work
COMMANDS: dict[str, tuple[str, str]] = {
    "index": (
        "pipeline.commands.index:index",
        "Write a manifest, the table of a corpus's clips.",
    ),
    "doctor": (
        "pipeline.commands.doctor:doctor",
        "Find problems of a corpus before a long run.",
    ),
    "extract": (
        "pipeline.commands.extract:extract",
        "Extract feature sets from clips into a cache (stage one).",
    ),
    "inspect": (
        "pipeline.commands.inspect:inspect",
        "Draw the faces that were found, to check them by eye.",
    ),
    "persons": (
        "pipeline.commands.persons:persons",
        "Tell who is in which clip, and propose the speakers.",
    ),
    "cache": (
        "pipeline.commands.cache:cache",
        "Check, clean, pack, import into or export from a cache.",
    ),
    "weights": (
        "pipeline.commands.weights:weights",
        "List the networks; check and convert weight files.",
    ),
    "finetune": (
        "pipeline.commands.finetune:finetune",
        "Fine-tune a face network on still images.",
    ),
    "train": (
        "trainer.commands.train:train",
        "Train heads on cached features and report on held-out clips (stage two).",
    ),
    "sweep": (
        "trainer.commands.sweep:sweep",
        "Train every cell of a table of settings (stage two).",
    ),
    "evaluate": (
        "trainer.commands.evaluate:evaluate",
        "Print a run's figures with confidence intervals.",
    ),
    "compare": (
        "trainer.commands.compare:compare",
        "Test whether two runs differ on the same clips.",
    ),
    "ensemble": (
        "trainer.commands.ensemble:ensemble",
        "Average the probabilities of several runs.",
    ),
    "export": (
        "trainer.commands.export:export",
        "Write a run's heads as ONNX or for plain PyTorch.",
    ),
    "report": (
        "pipeline.commands.report:report",
        "Write a run as one HTML page, or several side by side.",
    ),
    "explain": (
        "pipeline.commands.explain:explain",
        "Draw attention and probabilities over a clip's time.",
    ),
    "predict": (
        "pipeline.commands.predict:predict",
        "Classify any video, with a run or with the default network.",
    ),
    "completion": (
        "pipeline.commands.completion:completion",
        "Print the script by which a shell completes commands and options.",
    ),
    "demo": (
        "pipeline.commands.demo:demo",
        "Go through every stage on a small corpus made on the spot.",
    ),
}

# Threads meet at the end of every small operation. To spin for long there makes an epoch 10 times
# slower where other processes want the cores too; to sleep at once makes it 1.5 times slower where
# they don't (benchmarks/NOTES.md). GNU OpenMP's threads spin so many times, then sleep.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000"}
# Networks allocate and free maps of many megabytes all the time. glibc returns such memory to the
# kernel, which clears every page when it is asked for again: a tenth of the time of IR-50, a
# seventh of that of wide heads (benchmarks/NOTES.md). Up to this much is kept instead; larger
# blocks, and free memory above it, are returned as before.
KEPT_BYTES = 1 << 30
KEEPING = {name: str(KEPT_BYTES) for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")}
_MALLOPT_NUMBERS = {"MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_MMAP_THRESHOLD_": -3}  # glibc's malloc.h


class LazyGroup(Group):
    """The group of ``COMMANDS``, which imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order of the work."""
        del ctx
        return list(COMMANDS)

    def describe_command(self, ctx: click.Context, name: str) -> str:
        """Return the command's line of the table, without importing it."""
        del ctx
        return COMMANDS[name][1]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command by the table, without importing it, or an option."""
        named = [
            CompletionItem(name, help=line)
            for name, (_, line) in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*named, *click.Command.shell_complete(self, ctx, incomplete)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None for an unknown name."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        prepare_process()
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        return cast(click.Command, getattr(importlib.import_module(module), attribute))

    def main(self, args: Sequence[str] | None = None, *rest: Any, **options: Any) -> Any:
        """Run the command line, with standard streams that are open and safe to look at."""
        words = sys.argv[1:] if args is None else list(args)
        if COMPLETING in os.environ:  # a shell asks while a line is typed: nothing is loading
            return super().main(words, *rest, **options)
        logs = sys.stderr is not None and asks_for_events(words)
        with logged_events(sys.stderr) if logs else nullcontext(), shown_streams():
            return super().main(words, *rest, **options)

    def invoke(self, ctx: click.Context) -> object:
        """Run a command; Ctrl-C where it notes no signals itself, as while it loads, ends it.

        Raises:
            click.ClickException: the working folder was removed, a library can't be loaded, or the
                machine refused something that the command doesn't foresee, as a name too long or a
                full disk.
        """
        if not {*ctx.args} & {*ctx.help_option_names}:
            check_working_folder()
        try:
            return super().invoke(ctx)
        except ImportError as error:
            raise click.ClickException(explain_import(error)) from error
        except OSError as error:
            named = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise click.ClickException(named) from error
        except KeyboardInterrupt:
            click.echo("\nStopped (SIGINT).", err=True)
            ctx.exit(128 + signal.SIGINT)


# Told that there is colour, click hands on escape sequences, which then become visible; else it
# takes them out unseen where nobody watches.
@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "color": True})
@VERSION
def main() -> None:
    """Extract features from video clips into a crash-safe cache, then train emotion classifiers.

    The usual order: index a corpus, extract its features, train heads, predict.
    """


def check_working_folder() -> None:
    """Refuse to work where relative paths mean nothing.

    Raises:
        click.ClickException: the working folder was removed.
    """
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise click.ClickException(
            "the working folder was removed; change to another (cd) and run the same command again"
        ) from error


def prepare_process() -> bool:
    """Set OpenMP waiting and malloc trimming, here and in child processes; call before torch.

    Returns:
        Whether the waiting was set here, rather than by the environment.
    """
    keep_freed_memory()
    return set_waiting()


def set_waiting() -> bool:
    """Let OpenMP threads spin briefly and then sleep, unless the environment says how they wait.

    Returns:
        Whether it was set here.
    """
    if WAITING.keys() & os.environ.keys():
        return False
    os.environ.update(WAITING)
    return True


def keep_freed_memory() -> bool:
    """Keep freed memory for the next allocation, unless the environment configures malloc.

    glibc reads the environment when a process starts, which serves the processes that this one
    starts; for this one ``mallopt`` is called.

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
    return all(
        mallopt(number, int(KEEPING[name])) == 1 for name, number in _MALLOPT_NUMBERS.items()
    )
