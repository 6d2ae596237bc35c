"""Seconds per epoch of stage two, with and without the audio encoder in the loop.

    .venv/bin/python -m benchmarks.stage_two [-o FILE.json]

The corpus is made in memory in the size of AFEW's training split: 773 clips of 10 to 100 video
steps of 1024 numbers and audio of 1 to 5 seconds. The numbers are random; only the time counts.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path

import click
import numpy as np

from benchmarks.machine import describe_machine
from cache.settings import merge
from trainer.corpus import Corpus
from trainer.sequences import Sequences
from trainer.settings import load_preset, settings_from_dict
from trainer.train import train_head

NUM_CLIPS, NUM_CLASSES = 773, 7


def make_sequences(
    rng: np.random.Generator, shortest: int, longest: int, dim: int, hop: float
) -> Sequences:
    """Random steps for every clip."""
    lengths = rng.integers(shortest, longest + 1, NUM_CLIPS)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    values = rng.standard_normal((offsets[-1], dim), dtype=np.float32)
    times = np.concatenate([np.arange(length) * hop for length in lengths])
    return Sequences(values=values, times=times, offsets=offsets)


@click.command()
@click.option("--epochs", default=3, show_default=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON file for the result.")
def main(epochs: int, out: Path | None) -> None:
    """Measure one head's epochs."""
    machine = describe_machine()
    rng = np.random.default_rng(0)
    video = make_sequences(rng, 10, 100, 1024, 0.04)
    grid = make_sequences(rng, 15, 75, 256, 0.32)
    spectrogram = make_sequences(rng, 100, 500, 200, 0.01)
    rows = []
    for name, audio, encoder, clips in (
        ("head on cached features", grid, "none", NUM_CLIPS),
        ("head and AlexNet-FCN trained together", spectrogram, "alexnet", 100),
    ):
        corpus = Corpus(
            clip_ids=tuple(f"c{i}" for i in range(NUM_CLIPS)),
            sequences={"video": video, "audio": audio},
            classes=tuple("abcdefg"[:NUM_CLASSES]),
            labels=rng.integers(0, NUM_CLASSES, NUM_CLIPS),
            features={"video": "values", "audio": "values"},
        )
        values = merge(load_preset("icmi19"), {"audio": {"encoder": encoder}})
        settings = settings_from_dict(merge(values, {"optim": {"epochs": epochs}}))
        head = train_head(corpus, range(clips), settings)
        seconds = statistics.median(record.seconds for record in head.history)
        rows.append({"what": name, "clips": clips, "seconds_per_epoch": round(seconds, 3)})
        click.echo(f"{name}: {seconds:.2f} s per epoch of {clips} clips")
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
