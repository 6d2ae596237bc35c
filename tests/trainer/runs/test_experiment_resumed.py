"""A run that was interrupted, lost something or stands there already, and is asked for again."""

from __future__ import annotations

from pathlib import Path

import pytest

from cache.manifest.manifest import Manifest
from tests.trainer.experiment_helper import train
from trainer.runs.experiment import Protocol
from trainer.runs.folder import RunError, read_run
from trainer.runs.history import read_history
from trainer.runs.listener import RunListener

pytestmark = pytest.mark.usefixtures("no_pictures")


class Interrupted(RunListener):
    """Stops the run after so many epochs."""

    def __init__(self, epochs: int) -> None:
        self.left = epochs
        self.heads: list[tuple[str, bool]] = []
        self.reads: dict[str, tuple[int, int]] = {}

    def read(self, unit: str, done: int, total: int) -> None:
        self.reads[unit] = done, total

    def epoch(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt

    def head(self, head: str, _: object, *, resumed: bool) -> None:
        self.heads.append((head, resumed))


@pytest.mark.slow
@pytest.mark.parametrize(
    # One after another: in the second head. As one: in the second fold, of three epochs a head.
    ("stack", "epochs", "kept"),
    [("off", 5, (True, False, False, False)), ("on", 9, (True, True, False, False))],
)
def test_an_interrupted_run_is_resumed_with_the_same_result(
    manifest: Manifest,
    cache: Path,
    tmp_path: Path,
    stack: str,
    epochs: int,
    kept: tuple[bool, ...],
) -> None:
    protocol = Protocol(folds="speaker:2", num_seeds=2)
    stacked = [f"optim.stack={stack}"]
    whole = train(manifest, cache, tmp_path / "whole", protocol, stacked)
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(manifest, cache, path, protocol, stacked, listener=Interrupted(epochs=epochs))
    again = r"not finished: .* \(KeyboardInterrupt\); the same command again goes on with it"
    with pytest.raises(RunError, match=again):
        read_run(path)
    with pytest.raises(RunError, match=r"holds another run: optim\.epochs is 5, not 3"):
        train(manifest, cache, path, protocol, [*stacked, "optim.epochs=5"])
    other = Protocol(folds="speaker:2", num_seeds=3)
    with pytest.raises(RunError, match=r"different seeds \(\[0, 1, 2\], not \[0, 1\]\)"):
        train(manifest, cache, path, other, stacked)
    listener = Interrupted(epochs=-1)
    resumed = train(manifest, cache, path, protocol, stacked, listener=listener)
    names = ("fold-0-seed-0", "fold-0-seed-1", "fold-1-seed-0", "fold-1-seed-1")
    assert listener.heads == list(zip(names, kept, strict=True))
    done, total = listener.reads["files"]  # the packs are there already
    assert done == total > 0
    together = {"off": None, "on": [0, 1]}[stack]
    assert [head.get("stacked_seeds") for head in resumed.info["checkpoints"]] == [together] * 4
    for name in ("predictions.csv", "members/seed-1.csv", "metrics.json"):
        assert (path / name).read_bytes() == (whole.path / name).read_bytes()
    assert len(read_history(path / "history.csv")) == len(read_history(whole.path / "history.csv"))
    assert resumed.info["state"] == "finished"


@pytest.mark.slow
def test_a_head_interrupted_between_epochs_goes_on_from_there(
    manifest: Manifest, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.training.train.PROGRESS_SECONDS", 0.0)
    whole = train(manifest, cache, tmp_path / "whole")
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(manifest, cache, path, listener=Interrupted(epochs=2))
    assert [p.name for p in (path / "checkpoints").iterdir()] == ["fold-0-seed-0.progress"]
    listener = Interrupted(epochs=-1)
    train(manifest, cache, path, listener=listener)
    assert listener.left == -1 - (1 + 3)  # one epoch of the first head, three of the second
    assert (path / "predictions.csv").read_bytes() == (whole.path / "predictions.csv").read_bytes()
    assert [row.record.epoch for row in read_history(path / "history.csv")] == [1, 2, 3] * 2
    assert not list((path / "checkpoints").glob("*.progress"))


@pytest.mark.slow
def test_the_state_of_a_head_that_was_killed_once_it_was_trained_is_removed(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(manifest, cache, tmp_path / "run", listener=Interrupted(epochs=4))
    heads = tmp_path / "run" / "checkpoints"
    assert (heads / "fold-0-seed-0.safetensors").exists()
    # A kill between the two leaves both.
    (heads / "fold-0-seed-0.progress").write_bytes(b"the last epoch")
    train(manifest, cache, tmp_path / "run")
    assert sorted(path.name for path in heads.iterdir()) == [
        "fold-0-seed-0.safetensors",
        "fold-1-seed-0.safetensors",
    ]


@pytest.mark.slow
def test_a_head_whose_checkpoint_was_lost_is_trained_again_with_one_history(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(manifest, cache, tmp_path / "run", listener=Interrupted(epochs=4))
    (tmp_path / "run" / "checkpoints" / "fold-0-seed-0.safetensors").unlink()
    run = train(manifest, cache, tmp_path / "run")
    rows = read_history(run.path / "history.csv")
    assert [(row.fold, row.record.epoch) for row in rows] == [
        (fold, epoch) for fold in (0, 1) for epoch in (1, 2, 3)
    ]


@pytest.mark.slow
def test_a_lost_head_of_a_stack_is_trained_again_with_the_others_and_is_the_same(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    protocol = Protocol(folds="speaker:2", num_seeds=2)
    whole = train(manifest, cache, tmp_path / "whole", protocol)
    with pytest.raises(KeyboardInterrupt):
        train(manifest, cache, tmp_path / "run", protocol, listener=Interrupted(epochs=7))
    (tmp_path / "run" / "checkpoints" / "fold-0-seed-1.safetensors").unlink()
    listener = Interrupted(epochs=-1)
    run = train(manifest, cache, tmp_path / "run", protocol, listener=listener)
    assert [resumed for _, resumed in listener.heads] == [True, False, False, False]
    for name in ("predictions.csv", "members/seed-1.csv"):
        assert (run.path / name).read_bytes() == (whole.path / name).read_bytes()
    assert len(read_history(run.path / "history.csv")) == 12


def test_a_folder_that_is_taken_is_refused_before_any_work(
    manifest: Manifest, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="holds files and no run"):
        train(manifest, tmp_path / "no cache", tmp_path)


def test_a_finished_run_is_left_as_it_is_by_the_same_call(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    train(manifest, cache, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    train(manifest, cache, tmp_path / "run")
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before


def test_a_finished_run_is_replaced_only_when_asked(
    manifest: Manifest, cache: Path, tmp_path: Path
) -> None:
    train(manifest, cache, tmp_path / "run")
    with pytest.raises(RunError, match=r"different division of the clips.*pass --overwrite"):
        train(manifest, cache, tmp_path / "run", Protocol(folds="clip:3"))
    run = train(manifest, cache, tmp_path / "run", Protocol(folds="clip:3"), overwrite=True)
    assert run.info["plan"]["kind"] == "clip"
    assert run.metrics["warnings"][0].startswith("not speaker-independent")
