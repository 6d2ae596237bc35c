"""``avfuse demo``: go through every stage, one real command after another, on a small corpus."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path

import click

from cache.commit import write_whole
from cache.manifest.manifest import read_manifest

SYNTHETIC = (
    "This corpus is synthetic: one photograph, warped and moved, with made-up sounds. What the\n"
    "head learns here says nothing about emotions; it shows that the parts fit."
)


@click.command()
@click.argument("corpus", required=False, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("demo"),
    show_default=True,
    help="Folder for everything that the demo writes.",
)
@click.option("--speakers", type=click.IntRange(min=3), default=6, show_default=True, hidden=True)
@click.option("--epochs", type=click.IntRange(min=1), default=15, show_default=True, hidden=True)
def demo(corpus: Path | None, out: Path, speakers: int, epochs: int) -> None:
    """Index, extract, train, evaluate, predict: on CORPUS, or on a corpus made on the spot.

    CORPUS is a folder with one subfolder of clips per class.
    """
    started = time.monotonic()
    manifest, cache, run = out / "manifest.csv", out / "cache", out / "run"
    if corpus is None:
        manifest = _make_corpus(out / "corpus", speakers)
        division: list[str] = []  # the manifest's own splits: whole speakers are held out
    else:
        _avfuse("index", "folder", corpus, "-o", manifest, "--overwrite")
        table = read_manifest(manifest)
        splits = {clip.split for clip in table.clips}
        division = [] if {"train", "val"} <= splits or {"train", "test"} <= splits else ["clip:5"]
        division = ["--folds", *division] if division else []
    click.echo(
        "\nStage one: video -> frames -> faces -> crops -> embeddings; sound -> spectrogram."
    )
    extracted = _avfuse(
        *("extract", manifest, "--cache", cache, "--sets", "faces,resnet18,spectrogram"),
        *("--views", "basic"),  # the face network that comes with avfuse: no weights are named
        may_fail=True,
    )
    _avfuse("cache", "verify", cache)
    click.echo("\nStage two: entries -> attention -> bilinear fusion -> probabilities.")
    _avfuse(
        *("train", manifest, "--cache", cache, "--preset", "icmi19", "--run", run, "--overwrite"),
        *("--set", "video.set=resnet18", "--set", f"optim.epochs={epochs}", "--seeds", "2"),
        *division,
    )
    clip = _held_out(manifest)
    click.echo(f"\nNow classify any video file: {clip}")
    answer = json.loads(_avfuse("predict", run, clip, quiet=True))
    write_whole(out / "prediction.json", json.dumps(answer, indent=2))
    video = answer["videos"][0]
    for name, probability in sorted((video["probabilities"] or {}).items(), key=lambda p: -p[1]):
        click.echo(f"  {name:12} {probability:.3f} {'#' * round(40 * probability)}")
    mark = "untrained; " if video["untrained"] else ""
    click.echo(f"  state {video['state']}; {mark}the clip lies in {clip.parent.name}/")
    click.echo("\nWithout any run, the network that comes with avfuse answers alone:")
    _avfuse("predict", clip, may_fail=True)
    click.echo(f"\nDone in {time.monotonic() - started:.0f} s.")
    if corpus is None:
        click.echo(SYNTHETIC)
    click.echo(
        "The face network was the one that comes with avfuse, trained on still faces; name your\n"
        "own with --weights.\n\n"
        f"  features      {cache}\n"
        f"  results       {run / 'metrics.json'}, {run / 'predictions.csv'}\n"
        f"  pictures      {run / 'confusion.png'}, {run / 'curves.png'}\n"
        f"  one answer    {out / 'prediction.json'}, with the weight of every frame\n\n"
        "Next, on your own videos (a folder with one subfolder per class):\n"
        "  make demo CORPUS=path/to/your/clips\n"
        "or step by step, starting with\n"
        "  .venv/bin/avfuse index folder path/to/your/clips -o manifest.csv"
    )
    if extracted:
        click.echo("Some clips failed; they are named above and in the report.")
        sys.exit(1)


def _make_corpus(folder: Path, speakers: int) -> Path:
    # Here, because it needs the photograph that only the extra avfuse[demo] installs.
    from pipeline.demo_corpus import DemoError, DemoSettings, make_demo_corpus

    click.echo(f"Making a small corpus of generated clips in {folder}.\n{SYNTHETIC}")
    try:
        return make_demo_corpus(folder, DemoSettings(speakers=speakers))
    except DemoError as error:
        raise click.UsageError(str(error)) from error


def _held_out(manifest: Path) -> Path:
    clips = read_manifest(manifest).clips
    return next((clip.path for clip in clips if clip.split in ("val", "test")), clips[0].path)


def _avfuse(*arguments: object, quiet: bool = False, may_fail: bool = False) -> str:
    """Run one command as a user would, showing it; a failure ends the demo with its exit code.

    Returns:
        What it printed, if ``quiet``; with ``may_fail``, a note if some clips failed.
    """
    words = [str(argument) for argument in arguments]
    click.echo(f"\n$ avfuse {shlex.join(words)}")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pipeline", *words],
        stdout=subprocess.PIPE if quiet else None,
        text=True,
        check=False,
    )
    if done.returncode == 1 and may_fail:
        return "some clips failed"
    if done.returncode != 0:
        sys.exit(done.returncode)
    return done.stdout or ""
