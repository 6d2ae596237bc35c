"""Decoding alone: frames of picture and seconds of sound, by seconds of processor time.

    python -m benchmarks.stage_one.decode FILE... [--against CHECKOUT] [-o FILE.json]

``--against`` names another checkout of avfuse: both decode the same files in turn, each round in
processes of their own, and the ratio of the two rates stands beside them. Of the rounds the fastest
counts: whatever else runs only makes a round slower.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

HERE = Path(__file__).parents[2]
RATES = ("frames_per_second", "seconds_of_sound_per_second")


def decode_once(files: list[Path]) -> dict[str, float]:
    """Decode every file's picture and sound in this process, with the avfuse that it imports."""
    from pipeline.media.frames import NoVideoError, VideoReader
    from pipeline.media.sound import SAMPLE_RATE, read_waveform

    frames = samples = 0
    started = time.process_time()
    for path in files:
        try:
            frames += sum(len(chunk) for chunk in VideoReader(path))
        except NoVideoError:
            continue
    between = time.process_time()
    for path in files:
        waveform = read_waveform(path)
        samples += 0 if waveform is None else len(waveform.samples)
    ended = time.process_time()
    sound = samples / SAMPLE_RATE
    return dict(zip(RATES, (frames / (between - started), sound / (ended - between)), strict=True))


def decode_apart(checkout: Path, files: list[Path]) -> dict[str, float]:
    """Decode the files in a new process with the avfuse of a checkout."""
    # The file itself, as -m would put this folder before the checkout's.
    command = [sys.executable, __file__, "--once", *map(str, files)]
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    rates: dict[str, float] = json.loads(done.stdout)
    return rates


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--against", type=click.Path(exists=True, path_type=Path), help="Another checkout.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--once", is_flag=True, hidden=True, help="One round, in this process.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON file for the result.")
def main(
    files: tuple[Path, ...], against: Path | None, rounds: int, once: bool, out: Path | None
) -> None:
    """Measure how fast the picture and the sound of FILES are decoded."""
    paths = [path.absolute() for path in files]
    if once:
        click.echo(json.dumps(decode_once(paths)))
        return
    # Not above: it loads PyTorch, whose many objects the collector walks while the rounds decode.
    from benchmarks.machine import describe_machine, write_result

    result: dict[str, Any] = {"machine": describe_machine(), "files": len(paths), "rounds": rounds}
    checkouts = {"here": HERE} | ({"against": against.absolute()} if against else {})
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in checkouts}
    for _ in range(rounds):
        for name, checkout in checkouts.items():
            measured[name].append(decode_apart(checkout, paths))
    for rate in RATES:
        best = {name: max(one[rate] for one in ones) for name, ones in measured.items()}
        result[rate] = {name: round(value, 1) for name, value in best.items()}
        if against:
            result[rate]["ratio"] = round(best["here"] / best["against"], 3)
        click.echo(f"{rate}: {result[rate]}")
    if out:
        write_result(out, result)


if __name__ == "__main__":
    main()
