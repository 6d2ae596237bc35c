"""Operations on a run folder: a training, one over an old one, a fine-tuning."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save

from cache.manifest.manifest import read_manifest
from extractors.networks import NETWORKS
from tests.crash.operation import Mark, Operation
from tests.trainer.experiment_helper import SMALL, make_corpus
from tests.trainer.stills_helper import QUICK, make_parts, narrow_spec
from trainer.runs import experiment, report
from trainer.runs.experiment import Protocol, run_experiment
from trainer.runs.folder import (
    CHECKPOINTS,
    CONFIG,
    INFO,
    METRICS,
    PREDICTIONS,
    RunError,
    read_json,
    read_members,
    read_run,
)
from trainer.runs.run_writer import RunWriter
from trainer.settings import load_settings
from trainer.stills import finetune
from trainer.stills import run as finetuning
from trainer.stills.prepare import PROGRESS, WEIGHTS
from trainer.stills.run import run_finetuning
from trainer.stills.weights_file import load_classifier
from trainer.training import state as training_state
from trainer.training import train, trained
from trainer.training.state import open_tensors
from trainer.training.trained import load_checkpoint

SEEDS = 2


@contextmanager
def promising(mark: Mark) -> Iterator[None]:
    """Save after every epoch, draw nothing, and mark each file as promised once it is written."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in (
            (experiment, "plot_history"),
            (report, "plot_confusion"),
            (finetuning, "draw_confusion"),
            (finetuning, "draw_curves"),
        ):
            patch.setattr(module, name, lambda *_, **__: b"a picture")
        patch.setattr(train, "PROGRESS_SECONDS", 0.0)
        patch.setattr(finetune, "SAVE_EVERY_SECONDS", 0.0)
        patch.setitem(NETWORKS, "narrow", narrow_spec())
        for module in (training_state, trained):
            patch.setattr(module, "write_whole", _marking(module.write_whole, mark))
        patch.setattr(RunWriter, "write", _marking(RunWriter.write, mark))
        yield


def _marking(write: Callable[..., Any], mark: Mark) -> Callable[..., Any]:
    def marking(*args: Any, **named: Any) -> Any:
        result = write(*args, **named)
        mark()
        return result

    return marking


def _make_corpus(outside: Path) -> None:
    """Write a manifest and its cache, and the packs by a first training."""
    (outside / "corpus").mkdir()
    make_corpus(outside / "corpus")
    _train(outside / "corpus", outside, lambda: None)


def _train(
    root: Path,
    outside: Path,
    mark: Mark,
    *,
    overwrite: bool = False,
    seeds: int = SEEDS,
    more: tuple[str, ...] = (),
) -> None:
    corpus = outside / "corpus"
    settings = load_settings("icmi19", [*SMALL, "optim.stack=off", *more])
    with promising(mark):
        run_experiment(
            read_manifest(corpus / "manifest.csv", check_files=False),
            corpus / "cache",
            settings,
            root / "run",
            Protocol(num_seeds=seeds, allow_shared_speakers=True),
            threads=1,
            overwrite=overwrite,
        )
    mark()


def _train_other(root: Path, outside: Path) -> None:
    _train(root, outside, lambda: None, seeds=SEEDS + 1, more=("optim.learning_rate=0.5",))


def _go_on(act: Callable[..., None], root: Path, outside: Path, mark: Mark) -> None:
    """Go on as the page says: the same command, or --overwrite where it is refused."""
    try:
        act(root, outside, mark)
    except RunError:
        act(root, outside, mark, overwrite=True)


def _look_at_training(root: Path) -> dict[str, Any]:
    """Read a training's run: all of it when it is finished, else how far each head is."""
    run = root / "run"
    if not (run / INFO).exists():
        return {}
    if read_json(run / INFO)["state"] != "finished":
        return {f"head {seed}": _look_at_head(run, seed) for seed in range(SEEDS)}
    whole = read_run(run)
    seen: dict[str, Any] = {
        name: (run / name).read_text() for name in (CONFIG, METRICS, PREDICTIONS)
    }
    seen |= {name: table.probabilities.tolist() for name, table in read_members(whole).items()}
    for number, head in enumerate(whole.info["checkpoints"]):
        seen[f"head {number}"] = _digest(run / head["file"])
    return seen


def _look_at_head(run: Path, seed: int) -> Any:
    path = run / CHECKPOINTS / f"seed-{seed}.safetensors"
    if path.exists():
        return _digest(path)
    progress = path.with_suffix(".progress")
    return _epochs(progress) if progress.exists() else 0


def _digest(checkpoint: Path) -> str:
    head = load_checkpoint(checkpoint)
    return hashlib.sha256(save(dict(head.state))).hexdigest()


def _epochs(progress: Path) -> int:
    with open_tensors(progress) as (file, facts):
        for name in file.keys():  # noqa: SIM118 - it is no dict
            file.get_tensor(name)
    return len(facts["progress"]["history"])


def _finetune(root: Path, outside: Path, mark: Mark, *, overwrite: bool = False) -> None:
    with promising(mark):
        run_finetuning(make_parts(), QUICK, root / "run", threads=1, overwrite=overwrite)
    mark()


def _look_at_finetuning(root: Path) -> dict[str, Any]:
    run = root / "run"
    if not (run / INFO).exists():
        return {}
    if read_json(run / INFO)["state"] != "finished":
        progress = run / PROGRESS
        return {"epochs": _epochs(progress) if progress.exists() else 0}
    read_run(run)
    with promising(lambda: None):
        tensors = dict(load_classifier(run / WEIGHTS).classifier.state_dict())
    return {
        "epochs": QUICK.epochs,
        "weights": hashlib.sha256(save(tensors)).hexdigest(),
        **{name: (run / name).read_text() for name in (CONFIG, METRICS, PREDICTIONS)},
    }


OPERATIONS = [
    Operation(
        "train",
        _train,
        _look_at_training,
        surround=_make_corpus,
        again=functools.partial(_go_on, _train),
        refusals=(RunError,),
        every=33,
    ),
    Operation(
        "train --overwrite",
        functools.partial(_train, overwrite=True),
        _look_at_training,
        _train_other,
        again=functools.partial(_go_on, _train),
        refusals=(RunError,),
        every=33,
    ),
    Operation(
        "finetune",
        _finetune,
        _look_at_finetuning,
        again=functools.partial(_go_on, _finetune),
        refusals=(RunError,),
        every=33,
    ),
]
