"""``avfuse demo``: go through every stage, one real command after another, on a small corpus."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from cache.commit import check_place, write_whole
from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest
from cache.signals import ends_by_signal
from trainer.data.folds import SplitError
from trainer.data.splits import FoldPlan, plan_folds, restrict_folds

SYNTHETIC = (
    "This corpus is synthetic: one photograph, warped and moved, with made-up sounds. What the\n"
    "head learns here says nothing about emotions; it shows that the parts fit."
)
FOLDS = 5
# A class with fewer clips is hardly learnt.
FEW = 5
MOST_FAILED = 10
# As in pipeline.extract.run and pipeline.extract.sound, which load PyTorch.
REPORT, NO_AUDIO = "extract-report.json", "no audio stream"


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
@click.option("--epochs", type=click.IntRange(min=1), hidden=True)
@ends_by_signal("The features of all clips that were done are kept; the same command goes on.")
def demo(corpus: Path | None, out: Path, speakers: int, epochs: int | None) -> None:
    """Index, extract, train, evaluate, predict: on CORPUS, or on a corpus made on the spot.

    CORPUS is a folder with one subfolder of clips per class, five clips or more in each. The
    features are kept in --out: the same command again, with more clips, extracts only the new.

    Exit code 0: done; 1: done, but some clips can't be read; 2: CORPUS can't be used.
    """
    started = time.monotonic()
    try:
        check_place(out)
    except OSError as error:
        raise click.UsageError(str(error)) from error
    manifest, cache, run, page = (
        out / name for name in ("manifest.csv", "cache", "run", "report.html")
    )
    if corpus is None:
        manifest = _make_corpus(out / "corpus", speakers)
        division: list[str] = []  # the manifest's own splits: whole speakers are held out
    else:
        _avfuse("index", "folder", corpus, "-o", manifest, "--overwrite")
        division = _divide(corpus, read_manifest(manifest).clips)
    click.echo()
    _say("Stage one: video -> frames -> faces -> crops -> embeddings; sound -> spectrogram.")
    text, failed = _avfuse_quietly(
        *("extract", manifest, "--cache", cache, "--sets", "faces,resnet29,logmel"),
        *("--views", "basic"),  # the face network that comes with avfuse: no weights are named
        may_fail=True,
    )
    _show_extracted(text)
    text, _ = _avfuse_quietly("cache", "verify", cache)
    click.echo(text.splitlines()[-1])
    if failed:
        _check_left(division, manifest, cache)
    click.echo("\nStage two: entries -> pooling -> fusion -> probabilities.")
    changed = ["--set", f"optim.epochs={epochs}"] if epochs else []
    if not _enough_sound(division, manifest, cache):
        _say("Too few clips have sound: the heads learn from the pictures alone.")
        changed += ["--set", "fusion.kind=video"]
    _avfuse_quietly(
        *("train", manifest, "--cache", cache, "--run", run, "--overwrite", "--seeds", "2"),
        *division,
        *changed,
    )
    _avfuse_quietly("report", run, "-o", page, "--overwrite")
    if corpus is None:
        click.echo("\nFigures of a synthetic corpus; they say nothing about emotions.")
    _show_answer(manifest, run)
    _predict(manifest, run, out / "prediction.json")
    click.echo(f"\nDone in {time.monotonic() - started:.0f} s.")
    if corpus is None:
        click.echo(SYNTHETIC)
    click.echo(
        f"\n  report        {page}\n"
        f"  pictures      {run / 'confusion.png'}, {run / 'curves.png'}\n"
        f"  figures       {run / 'metrics.json'}, {run / 'predictions.csv'}\n"
        f"  features      {cache}\n"
        f"  one answer    {out / 'prediction.json'}, with the weight of every frame\n"
    )
    click.echo(_name_next(corpus, manifest, cache, run))
    if failed:
        click.echo("Some clips failed; they are named above and in the report.")
        sys.exit(1)


def _make_corpus(folder: Path, speakers: int) -> Path:
    # Here, because it needs the photograph that only the extra avfuse[demo] installs.
    from pipeline.commands.demo_corpus import DemoError, DemoSettings, make_demo_corpus

    click.echo(f"Making a small corpus of generated clips in {folder}.\n{SYNTHETIC}")
    try:
        return make_demo_corpus(folder, DemoSettings(speakers=speakers))
    except DemoError as error:
        raise click.UsageError(str(error)) from error


def _divide(corpus: Path, clips: Sequence[Clip]) -> list[str]:
    """Choose how the clips are divided; say which classes have too few.

    Returns:
        Options of ``train``: none where the folders are splits.

    Raises:
        click.UsageError: these clips can't be divided; nothing was computed yet.
    """
    splits = {clip.split for clip in clips}
    own = "train" in splits and bool(splits & {"val", "test"})
    labels = [clip.label for clip in clips if clip.label and (not own or clip.split == "train")]
    folds = None if own else f"clip:{max(2, min(FOLDS, len(labels)))}"
    counts = Counter(labels)
    if len(counts) == 1:
        raise click.UsageError(
            f"{corpus} has clips of one class only, {labels[0]}; a head learns to tell classes "
            "apart: put clips of another class into a second subfolder. To classify a video "
            "without training: avfuse predict VIDEO"
        )
    try:
        plan_folds(clips, folds=folds)
    except SplitError as error:
        raise click.UsageError(
            f"{corpus} has too few clips to train on some and test on others ({error}); "
            f"put at least 2 clips, better {FEW}, into each class's subfolder"
        ) from error
    for line in _advise(counts, own):
        _say(line)
    return ["--folds", folds] if folds else []


def _say(text: str) -> None:
    """Print a sentence in lines that fit the terminal."""
    click.echo(click.wrap_text(text, shutil.get_terminal_size().columns))


def _plan(division: Sequence[str], manifest: Path) -> FoldPlan:
    return plan_folds(read_manifest(manifest).clips, folds=division[1] if division else None)


def _read_report(cache: Path) -> Sequence[Mapping[str, Any]]:
    """Return what ``extract`` reported of each clip."""
    clips: Sequence[Mapping[str, Any]] = json.loads((cache / REPORT).read_bytes())["clips"]
    return clips


def _enough_sound(division: Sequence[str], manifest: Path, cache: Path) -> bool:
    """Whether each fold has a training clip with sound, without which no head learns from it."""
    heard = {
        clip["clip"]
        for clip in _read_report(cache)
        if clip["sets"]["logmel"]["state"] != "failed"
        and NO_AUDIO not in clip["sets"]["logmel"]["why"]
    }
    return all(
        any(clip.id in heard for clip in fold.train)
        for fold in _plan(division, manifest).folds
        if fold.test
    )


def _check_left(division: Sequence[str], manifest: Path, cache: Path) -> None:
    """Refuse to train on what is left where clips failed, if that is too little."""
    failed = {clip["clip"] for clip in _read_report(cache) if clip["state"] == "failed"}
    try:
        restrict_folds(_plan(division, manifest), lambda clip: clip.id not in failed)
    except SplitError as error:
        raise click.ClickException(
            f"the clips that can be read are too few to train on ({error}); replace those that "
            "failed and run the same command again: what was extracted is kept"
        ) from error


def _advise(counts: Mapping[str, int], in_splits: bool) -> Iterator[str]:
    """Say what comes of classes with few clips, and what to do."""
    few = {name: count for name, count in sorted(counts.items()) if count < FEW}
    for name, count in few.items():
        if count == 1 and not in_splits:
            yield (
                f"{name} has 1 clip: it can't be learnt and tested, so its answer will be wrong. "
                f"Add at least {FEW - 1} more, or leave the folder out."
            )
    named = ", ".join(f"{name} {count}" for name, count in few.items() if count > 1 or in_splits)
    if named:
        yield (
            f"Few clips: {named}. The answers will often be wrong; have {FEW} or more, better "
            "dozens, in each class."
        )


def _show_extracted(summary: str) -> None:
    """Print the counts and failures of the summary of ``extract``."""
    lines = summary.splitlines()
    failed = [line for line in lines if line.startswith("  failed: ")]
    click.echo("\n".join([*lines[:1], *failed[:MOST_FAILED]]))
    if len(failed) > MOST_FAILED:
        click.echo(f"  and {len(failed) - MOST_FAILED} more")


def _show_answer(manifest: Path, run: Path) -> None:
    from trainer.runs.answer import format_answer  # loads scikit-learn
    from trainer.runs.folder import read_run

    here = Path.cwd()
    paths = {
        clip.id: clip.path.relative_to(here) if clip.path.is_relative_to(here) else clip.path
        for clip in read_manifest(manifest, check_files=False).clips
    }
    width = shutil.get_terminal_size().columns
    click.echo(f"\n{format_answer(read_run(run), paths, width=width)}")


def _predict(manifest: Path, run: Path, out: Path) -> None:
    """Classify one clip with the run, and with the network that comes with avfuse."""
    clips = read_manifest(manifest, check_files=False).clips
    clip = next((one for one in clips if one.split in ("val", "test")), clips[0])
    click.echo("\nAny video file can be classified:")
    text, _ = _avfuse_quietly("predict", run, clip.path, may_fail=True)
    answer = json.loads(text)
    write_whole(out, json.dumps(answer, indent=2))
    video = answer["videos"][0]
    found = video["probabilities"] or {}
    width = max(map(len, found), default=0)
    for name, probability in sorted(found.items(), key=lambda p: -p[1]):
        click.echo(f"  {name:{width}} {probability:.3f} {'#' * round(20 * probability)}")
    if clip.split not in ("val", "test"):
        _say("(Most heads were trained on this clip; a new video says more.)")
    if video["untrained"]:
        click.echo("(untrained)")
    click.echo()
    _say("Without any run, the network that comes with avfuse answers alone:")
    text, _ = _avfuse_quietly("predict", clip.path, may_fail=True)
    click.echo(text.rstrip())


def _name_next(corpus: Path | None, manifest: Path, cache: Path, run: Path) -> str:
    if corpus is None:
        return (
            "Next, on your own videos (a folder with one subfolder per class):\n"
            "  make demo CORPUS=path/to/your/clips\n"
            "or step by step, starting with\n"
            "  .venv/bin/avfuse index folder path/to/your/clips -o manifest.csv"
        )
    manifest_, cache_, run_ = (shlex.quote(str(path)) for path in (manifest, cache, run))
    return (
        "Next:\n"
        "  more clips in the folders, and the same command: only new clips are extracted\n"
        f"  avfuse inspect faces {manifest_} --cache {cache_} -o sheets\n"
        f"  avfuse predict {run_} VIDEO\n"
        f"  for figures that hold for new people: fill in the column speaker of a copy of\n"
        f"  {manifest_}, then avfuse train COPY --cache {cache_} --run RUN --folds speaker:{FOLDS}"
    )


def _avfuse(*arguments: object) -> None:
    """Run one command as a user would, showing it; a failure ends the demo with its exit code."""
    code = _run(arguments, None).returncode
    if code != 0:
        sys.exit(code)


def _avfuse_quietly(*arguments: object, may_fail: bool = False) -> tuple[str, bool]:
    """Run one command as ``_avfuse`` does, without its output; progress and errors still show.

    Returns:
        What it printed, and, with ``may_fail``, whether some clips failed (exit code 1).
    """
    done = _run(arguments, subprocess.PIPE)
    if done.returncode == 1 and may_fail:
        return done.stdout, True
    if done.returncode != 0:
        click.echo(done.stdout, nl=False)
        click.echo("What was extracted is kept; the same command again goes on.", err=True)
        sys.exit(done.returncode)
    return done.stdout, False


def _run(arguments: Sequence[object], stdout: int | None) -> subprocess.CompletedProcess[str]:
    words = [str(argument) for argument in arguments]
    click.echo(f"\n$ avfuse {shlex.join(words)}")
    sys.stdout.flush()
    return subprocess.run(
        [sys.executable, "-P", "-m", "pipeline", *words], stdout=stdout, text=True, check=False
    )
