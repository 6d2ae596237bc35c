"""``avfuse train`` as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from tests.trainer.corpus_helper import values, write_set
from tests.trainer.experiment_helper import SMALL, make_cache, make_clips, make_manifest
from trainer.runs.experiment import Protocol, run_experiment
from trainer.runs.folder import read_run
from trainer.settings import load_settings

SETTINGS = [part for override in SMALL for part in ("--set", override)]


@pytest.fixture
def corpus(tmp_path: Path) -> list[str]:
    """The first arguments of ``avfuse train``; weights are random."""
    clips = make_clips(tmp_path)
    make_cache(tmp_path / "cache", clips, untrained=True)
    manifest = make_manifest(tmp_path, clips).path
    return ["train", str(manifest), "--cache", str(tmp_path / "cache"), *SETTINGS]


def avfuse(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def said(result: Result) -> str:
    return " ".join(result.output.split())


@pytest.mark.slow
def test_a_run_is_trained_reported_compared_and_averaged(corpus: list[str], tmp_path: Path) -> None:
    """The whole of stage two, with its pictures."""
    one, two, both = (str(tmp_path / name) for name in ("one", "two", "both"))
    result = avfuse(*corpus, "--run", one, "--folds", "speaker:2", "--seeds", "2")
    assert result.exit_code == 0, result.output
    assert f"{one}: fast with changes, 2 seeds, speaker:2, 3 epochs" in result.stdout
    assert "ensemble of 2 seeds" in result.stdout
    assert "mean of 2 folds" in result.stdout
    assert "warning: untrained" in result.stdout
    assert "4/4 fold-1-seed-1: 3 epochs" in result.stderr
    for picture in ("confusion.png", "curves.png"):
        assert (tmp_path / "one" / picture).read_bytes().startswith(b"\x89PNG")
    result = avfuse(*corpus, "--run", two, "--folds", "clip:3", "--select", "inner:0.3", "--json")
    assert json.loads(result.stdout) == read_run(tmp_path / "two").metrics
    assert "warning: not speaker-independent" in avfuse("evaluate", two).stdout
    assert "b less a, by speaker: " in avfuse("compare", one, two).stdout
    assert avfuse("ensemble", one, two, "-o", both).exit_code == 0
    assert read_run(tmp_path / "both").info["speaker_independent"] is False


@pytest.mark.slow
def test_a_process_and_a_call_write_the_same_predictions(corpus: list[str], tmp_path: Path) -> None:
    code = "import sys; from pipeline.cli import main; main(sys.argv[1:])"
    arguments = [*corpus, "--run", str(tmp_path / "process"), "--folds", "speaker:2"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--threads", "1", "--device", "cpu"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout
    settings = load_settings("fast", SMALL)
    run_experiment(
        make_manifest(tmp_path, make_clips(tmp_path)),
        tmp_path / "cache",
        settings,
        tmp_path / "call",
        Protocol(folds="speaker:2"),
        threads=1,
    )
    texts = [(tmp_path / name / "predictions.csv").read_bytes() for name in ("process", "call")]
    assert texts[0] == texts[1]


@pytest.mark.usefixtures("no_pictures")
def test_options_and_files_override_the_preset(corpus: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("seed = 5\n[optim]\nepochs = 2\nbatch_size = 7\n")
    result = avfuse(
        *corpus,
        *("--run", str(tmp_path / "run"), "--config", str(tmp_path / "mine.toml")),
        *("--set", "fusion.kind=video", "--split", "test", "--train-on", "train"),
        "--allow-shared-speakers",
    )
    assert result.exit_code == 0, result.output
    settings = load_settings(str(tmp_path / "run" / "config.toml"))
    assert (settings.seed, settings.optim.batch_size) == (5, 7)
    assert settings.optim.epochs == 3  # --set wins over --config
    assert set(read_run(tmp_path / "run").predictions.modalities) == {"video"}


def test_wrong_use_exits_with_2_says_why_and_writes_nothing(
    corpus: list[str], tmp_path: Path
) -> None:
    run = ["--run", str(tmp_path / "run")]
    for arguments, message in (
        (["--folds", "speaker:7"], "4 speakers, fewer than the 7 folds"),
        (["--folds", "speaker:2", "--split", "val"], "--folds divides all labelled clips"),
        (["--resume"], "No such option"),
        ([], "1 speakers are in both training and test clips: s2"),
        (["--set", "optim.epoch=3"], "did you mean optim.epochs?"),
        (["--select", "inner:2"], "a share between 0 and 1"),
        (["--preset", "icml19"], "unknown preset 'icml19'"),
        (
            ["--folds", "clip:2", "--set", "video.set=ir50"],
            "To train on one of them: --set video.set=NAME",
        ),
        (["--folds", "clip:2", "--device", "cuda:99"], "--device cuda:99: "),
        (
            ["--folds", "clip:2", "--set", "audio.set=spectograms"],
            "Did you mean audio.set=spectrogram? To train on one of them: --set audio.set=NAME",
        ),
        (["--train-on", "train,dev"], "one of train, val, test, got 'dev'"),
    ):
        result = avfuse(*corpus, *run, *arguments)
        assert result.exit_code == 2, result.output
        assert message in said(result)
    assert not (tmp_path / "run").exists()
    result = avfuse("train", str(tmp_path / "none.csv"), "--cache", "c", *run)
    assert result.exit_code == 2
    assert "none.csv" in said(result)


def test_features_that_no_head_can_take_are_refused_before_a_run_is_written(
    corpus: list[str], tmp_path: Path
) -> None:
    cache, clips = tmp_path / "cache", make_clips(tmp_path)
    write_set(cache, "logmel", {clip.id: {"logmel": values(5, 40, 3)} for clip in clips})
    write_set(cache, "silence", {clip.id: {"spectrogram": values(0, 20)} for clip in clips})
    folds = ["--folds", "speaker:2", "--set", "audio.features=auto"]
    for name, message in (
        ("logmel", "choose audio.encoder=cnn, which is trained with the head; or audio.encoder=al"),
        ("silence", "training clips has audio, which fusion.kind=concat needs; to train without "),
    ):
        run = tmp_path / name
        result = avfuse(*corpus, *folds, "--set", f"audio.set={name}", "--run", str(run))
        assert result.exit_code == 2, result.output
        assert message in said(result)
        assert not run.exists()


@pytest.mark.slow
def test_a_training_that_fails_exits_with_1(corpus: list[str], tmp_path: Path) -> None:
    wild = ["--set", "optim.learning_rate=1e30", "--set", "optim.grad_clip=0.0"]
    result = avfuse(*corpus, *wild, "--run", str(tmp_path / "run"), "--folds", "clip:2")
    assert result.exit_code == 1
    assert "the loss became" in said(result)


def test_a_device_that_is_not_there_is_refused(corpus: list[str], tmp_path: Path) -> None:
    result = avfuse(
        *corpus, "--run", str(tmp_path / "run"), "--folds", "clip:2", "--device", "toaster"
    )
    assert result.exit_code == 2
    assert "--device toaster: expected auto, cpu, cuda or cuda:N" in said(result)
