"""``avfuse finetune`` from the command line."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from safetensors.torch import load_file

import pipeline
from cache.progress import Progress
from extractors.networks import NETWORKS
from pipeline.align_stills import make_aligner
from pipeline.cli import main
from tests.pipeline.scenes import background, place
from tests.trainer.stills_helper import TINY_OPTIONS, make_ferplus, narrow_spec

NARROW = (
    *TINY_OPTIONS,
    "--set=network=narrow",
    "--set=epochs=1",
    "--set=learning_rate=0.01",
    "--set=precision=float32",
)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NETWORKS, "narrow", narrow_spec())


@pytest.fixture
def ferplus(tmp_path: Path) -> Path:
    return make_ferplus(tmp_path / "ferplus")


def finetune(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["finetune", *map(str, arguments)])


@pytest.mark.slow
@pytest.mark.usefixtures("narrow")
def test_the_command_and_the_call_write_the_same_run(ferplus: Path, tmp_path: Path) -> None:
    command = finetune(ferplus, "--run", tmp_path / "a", *NARROW, "--json", "--device=cpu")
    assert command.exit_code == 0, command.output
    settings = [text.removeprefix("--set=") for text in NARROW[1:]]
    call = pipeline.finetune(
        ferplus, run=tmp_path / "b", preset="ferplus", settings=settings, device="cpu"
    )
    report = call.metrics
    assert json.loads(command.stdout) == report
    for name in ("config.toml", "history.csv", "predictions.csv", "metrics.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    infos = [json.loads((tmp_path / run / "run.json").read_text()) for run in "ab"]
    assert infos[0]["identity"] == infos[1]["identity"]
    assert infos[0]["training"] == infos[1]["training"]
    ours, theirs = (load_file(tmp_path / run / "weights.safetensors") for run in "ab")
    assert all(bool((value == theirs[name]).all()) for name, value in ours.items())
    # A finished run is left alone by the same command, and refused to another.
    weights = (tmp_path / "a" / "weights.safetensors").stat().st_mtime_ns
    again = finetune(ferplus, "--run", tmp_path / "a", *NARROW, "--json", "--device=cpu")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout) == report
    assert "a is finished already; nothing was trained" in again.stderr
    assert (tmp_path / "a" / "weights.safetensors").stat().st_mtime_ns == weights
    other = finetune(ferplus, "--run", tmp_path / "a", *NARROW, "--set=seed=3")
    assert other.exit_code == 2
    assert "holds another run: seed is 3, not 0" in other.output
    assert "pass --overwrite to replace it" in other.output
    text = finetune(ferplus, "--run", tmp_path / "a", *NARROW, "--overwrite")
    assert text.exit_code == 0
    assert "narrow on ferplus, test images, seed 0" in text.stdout
    assert "epoch 1 of 1, 11 pixels: loss" in text.stderr


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set=epoch=3",), "unknown setting epoch; did you mean epochs?"),
        (("--align",), "--align finds faces in image files"),
        (("--layout=raf-db",), "has no EmoLabel/list_partition_label.txt"),
        (("--weights=nowhere.safetensors",), "nowhere.safetensors does not exist"),
        (("--device=cuda:77",), "--device cuda:77: "),
        (('--set=target="vote"',), "target must be one of votes, majority, got 'vote'"),
        (("--config=nowhere.toml",), "nowhere.toml"),
        (("--network=ir50", "--set=image_size=96"), "ir50 takes images of 112 pixels"),
        (("--set=learning_rate=1e30", "--set=warmup=0.0"), "is not finite; lower learning_rate"),
    ],
)
def test_wrong_use_is_refused_with_what_to_do(
    arguments: tuple[str, ...], message: str, ferplus: Path, tmp_path: Path
) -> None:
    result = finetune(ferplus, "--run", tmp_path / "run", *NARROW, "--device=cpu", *arguments)
    assert result.exit_code == (1 if "finite" in message else 2)
    assert message in " ".join(result.output.split())


@pytest.mark.slow
@pytest.mark.usefixtures("narrow")
def test_unreadable_images_are_counted_and_named_in_the_run_folder(tmp_path: Path) -> None:
    for name, level in {"happy": 40, "sad": 200}.items():
        for number in range(8):
            path = tmp_path / "faces" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGBA", (9, 9), (level, level, number, 255)).save(path)
    (tmp_path / "faces" / "sad" / "3.png").write_bytes(b"")
    result = finetune(tmp_path / "faces", "--run", tmp_path / "run", *NARROW)
    assert result.exit_code == 2
    assert "1 of 16 images can't be read" in result.output
    assert not (tmp_path / "run").exists()
    result = finetune(
        tmp_path / "faces", "--run", tmp_path / "run", *NARROW, "--set=data.max_unreadable=0.1"
    )
    assert result.exit_code == 0, result.output
    assert "sad/3.png" in (tmp_path / "run" / "unreadable.csv").read_text()
    assert "1 images can't be read" in result.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(
    ("signals", "told"), [(1, "stopped after update 2 of 3"), (2, "stopped during an")]
)
def test_a_signal_saves_the_state_and_says_how_to_go_on(
    signals: int, told: str, ferplus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Progress.show

    def show(progress: Progress, done: int, total: int, detail: str = "") -> None:
        real(progress, done, total, detail)
        if done == 2 and progress.unit == "updates":
            for _ in range(signals):
                os.kill(os.getpid(), signal.SIGTERM)  # a real one, to the handler that is there

    monkeypatch.setattr(Progress, "show", show)
    run = tmp_path / "run"
    result = finetune(ferplus, "--run", run, *NARROW)
    assert result.exit_code == 128 + signal.SIGTERM
    assert told in result.stderr
    assert "Run the same command again (without --overwrite) to go on" in result.stderr
    assert json.loads((run / "run.json").read_text())["state"] == "failed"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    monkeypatch.undo()
    monkeypatch.setitem(NETWORKS, "narrow", narrow_spec())
    assert finetune(ferplus, "--run", run, *NARROW).exit_code == 0
    whole = finetune(ferplus, "--run", tmp_path / "whole", *NARROW)
    assert whole.exit_code == 0
    ours, theirs = (
        load_file(folder / "weights.safetensors") for folder in (run, tmp_path / "whole")
    )
    assert all(bool((value == theirs[name]).all()) for name, value in ours.items())


def test_an_aligner_finds_the_face_and_turns_it_upright(tmp_path: Path) -> None:
    data = pytest.importorskip("skimage.data", reason="a photograph of a face to align")
    face = data.astronaut()
    align = make_aligner(57)
    crop = align(np.ascontiguousarray(face[:300, 50:400]))
    assert crop is not None
    assert crop.shape == (57, 57, 3)
    turned = np.asarray(Image.fromarray(face).rotate(12, Image.Resampling.BILINEAR))
    other = align(np.ascontiguousarray(turned))
    assert other is not None
    middle = slice(12, 45)
    assert np.corrcoef(crop[middle, middle].ravel(), other[middle, middle].ravel())[0, 1] > 0.9
    assert align(np.zeros((120, 120, 3), np.uint8)) is None


@pytest.mark.parametrize("size", [48, 96, 199])
def test_an_aligner_finds_the_face_of_a_small_still(size: int) -> None:
    still = place(background(size, size), (size / 2, size / 2), size * 0.6)
    crop = make_aligner(57)(still)
    assert crop is not None
    large = place(background(480, 480), (240, 240), 240)
    wanted = make_aligner(57)(large)
    assert wanted is not None
    likeness = np.corrcoef(crop.mean(-1).ravel(), wanted.mean(-1).ravel())[0, 1]
    assert likeness > 0.8
