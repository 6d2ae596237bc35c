"""Every command that gives an accuracy gives its interval by speaker, and Wilson's beside it.

The manifest names no speaker: persons found by faces stand for them.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from tests.trainer.experiment_helper import SMALL, make_cache, make_clips, make_manifest
from tests.trainer.persons_helper import write_seen
from trainer.runs.by_speaker import measure_by_speaker
from trainer.runs.folder import read_run

SET = [f"--set={each}" for each in (*SMALL, "optim.epochs=1", "optim.learning_rate=1e-6")]
PERSONS = 6  # in four clips each


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs of a corpus whose persons are known by their faces alone."""
    folder = tmp_path_factory.mktemp("persons")
    clips = [replace(clip, speaker=None) for clip in make_clips(folder)]
    make_cache(folder / "cache", clips)
    write_seen(
        folder / "cache",
        {clip.id: {f"P{number % PERSONS}": 1.0} for number, clip in enumerate(clips)},
    )
    make_manifest(folder, clips)
    for name in ("mean", "self"):
        run(folder, "train", *data(folder), "--run", f"{folder}/{name}", *one_attention(name))
    return folder


def data(folder: Path) -> list[str]:
    return [f"{folder}/manifest.csv", "--cache", f"{folder}/cache"]


def one_attention(name: str) -> list[str]:
    return ["--folds", "clip:3", *SET, f"--set=video.attention={name}"]


def run(folder: Path, *words: str) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = CliRunner().invoke(main, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_every_command_gives_both_intervals_the_number_of_persons_and_the_method(
    work: Path,
) -> None:
    found = measure_by_speaker(
        read_run(work / "mean").predictions.correct,
        [f"P{number % PERSONS}" for number in range(24)],
    )
    assert found
    assert found.interval[0] < found.interval[1]
    low, high = (f"{100 * end:.1f}" for end in found.interval)
    by_speaker = rf"by speaker \[{low}, {high}\] \({PERSONS} speakers, cluster bootstrap"
    grid = 'title = "t"\n[base]\nset = { optim.epochs = 1 }\n[[axes]]\n'
    (work / "s.toml").write_text(grid + 'setting = "video.attention"\nvalues = ["mean", "self"]\n')
    sweep = ["sweep", "s.toml", *data(work), "-o", "sweep", "--jobs", "1"]
    pages = {
        "train": run(work, "train", *data(work), "--run", "mean", *one_attention("mean")),
        "evaluate": run(work, "evaluate", "mean"),
        "ensemble": run(work, "ensemble", "mean", "self", "-o", "both"),
        "compare": run(work, "compare", "mean", "self"),
        "sweep": run(work, *sweep, "--folds", "clip:3", *SET),
    }
    run(work, "report", "mean", "-o", "page.html")
    pages["report"] = (work / "page.html").read_text()
    for name in ("train", "evaluate", "report"):
        assert re.search(by_speaker, pages[name]), name
    assert f"by speaker [{low}, {high}], Wilson's [" in pages["compare"]
    assert f"| [{low}, {high}] |" in pages["sweep"]
    assert f"({PERSONS} speakers, cluster bootstrap" in pages["compare"]
    assert f"(cluster bootstrap, {PERSONS} speakers" in pages["sweep"]
    assert re.search(rf"by speaker \[.*\({PERSONS} speakers, cluster", pages["ensemble"])
    for name, page in pages.items():
        assert re.search("Wilson(&#39;|')s", page), name
    assert "take 6 groups of persons found by faces for speakers" in pages["train"]


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_persons_stand_for_speakers_with_the_manifests_splits_too(work: Path) -> None:
    words = ["train", *data(work), "--run", "split", *SET, "--allow-shared-speakers", "--json"]
    whole = json.loads(run(work, *words))["all"]["ensemble"]
    assert (whole["n"], whole["by_speaker"]["speakers"]) == (8, 6)
