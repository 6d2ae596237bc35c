"""The ``avfuse`` command: one click group whose subcommands are imported when they are used.

``avfuse train`` therefore starts without dlib, OpenCV or PyAV, and ``avfuse --help`` without torch.
"""

from __future__ import annotations

import importlib
from typing import cast

import click

from pipeline.process_settings import prepare_process

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
