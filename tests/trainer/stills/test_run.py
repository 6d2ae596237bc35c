"""A fine-tuning from parts to a run folder: what is written, resumed, warned about and refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from extractors.networks import NETWORKS
from extractors.weights.files import WeightsError
from extractors.weights.load import load_weights
from tests.trainer.stills_helper import FACTS, QUICK, make_parts, make_stills
from trainer.runs.folder import RunError, read_run
from trainer.runs.report import evaluate_run
from trainer.stills import run as module
from trainer.stills.classifier import FaceClassifier, predict_stills
from trainer.stills.finetune import DivergedError, Stopped, finetune
from trainer.stills.images.parts import StillsError, Unreadable
from trainer.stills.images.stills import Stills
from trainer.stills.run import Callbacks, run_finetuning
from trainer.stills.settings import DataSettings, load_config
from trainer.stills.still_report import format_still_report, predict_part
from trainer.stills.weights_file import halve, load_classifier, save_classifier
from trainer.training.identity import OtherTrainingError
from trainer.training.state import StateError


@pytest.fixture
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "draw_confusion", lambda _: b"a picture")
    monkeypatch.setattr(module, "draw_curves", lambda *_, **__: b"a picture")


pytestmark = pytest.mark.usefixtures("narrow", "no_picture")


@pytest.mark.slow
def test_a_run_folder_holds_the_settings_figures_predictions_and_weights(tmp_path: Path) -> None:
    parts = make_parts(unreadable=(Unreadable("x.png", "cut, off"),))
    report = run_finetuning(parts, QUICK, tmp_path / "run", data=DataSettings(), source="here")
    run = read_run(tmp_path / "run")
    assert run.info["state"] == "finished"
    assert run.metrics["test"] == report["test"]
    assert report["test"]["n"] == 11
    assert report["valid"]["n"] == 5
    assert evaluate_run(run)["all"] == report["all"]
    assert run.predictions.clips[0] == "image-2-000"
    files = {file.name for file in (tmp_path / "run").iterdir()}
    assert files == {
        "run.json", "config.toml", "metrics.json", "history.csv", "predictions.csv",
        "confusion.csv", "confusion.png", "curves.png", "weights.safetensors", "unreadable.csv",
    }  # fmt: skip
    assert (tmp_path / "run" / "unreadable.csv").read_text() == 'image,reason\nx.png,"cut, off"\n'
    lines = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert lines[0] == "epoch,image_size,loss,valid_accuracy,valid_loss"
    assert len(lines) == 3
    text = format_still_report(report)
    assert "test: accuracy" in text
    assert "1 images can't be read; see unreadable.csv" in text


def test_config_toml_gives_the_same_training_again(tmp_path: Path) -> None:
    run_finetuning(make_parts(), QUICK, tmp_path / "run", data=DataSettings(split_seed=3))
    again = load_config(file=tmp_path / "run" / "config.toml")
    assert again.training == QUICK
    assert again.data == DataSettings(split_seed=3)
    assert again.threads == torch.get_num_threads()


@pytest.mark.slow
def test_the_weights_are_the_networks_and_score_what_was_reported(tmp_path: Path) -> None:
    parts = make_parts()
    report = run_finetuning(parts, QUICK, tmp_path / "run", half=True)
    file = load_classifier(tmp_path / "run" / "weights.safetensors")
    facts = file.facts
    assert facts.classes == parts.classes
    assert (facts.image_size, facts.grey) == (17, True)
    assert facts.metrics["test"] == {k: v for k, v in report["test"].items() if k != "new"}
    assert (facts.metrics["num_images"], facts.metrics["split"]) == (11, "npz test")
    assert facts.metrics["accuracy"] == report["test"]["accuracy"]
    assert facts.detail == 13  # the images' side, enlarged to 17
    assert facts.settings["epochs"] == 2
    assert facts.data["train"]["images"] == 13
    assert (facts.start, facts.half) == ("random weights", True)
    assert set(facts.versions or ()) == {"avfuse", "torch"}
    table = read_run(tmp_path / "run").predictions
    probabilities = predict_stills(file.classifier, parts.test, 17, grey=True)
    np.testing.assert_allclose(table.probabilities, probabilities, rtol=0, atol=1e-6)
    report = load_weights(NETWORKS["narrow"].build(), tmp_path / "run" / "weights.safetensors")
    assert report.dropped == ("fc.bias", "fc.weight")
    assert report.digest == read_run(tmp_path / "run").info["weights"]["digest"]


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_files(tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run_finetuning(make_parts(), QUICK, whole)
    for updates in (1, 1, 1):  # of four
        asked = iter(range(1, 99))
        callbacks = Callbacks(stopped=lambda asked=asked, n=updates: next(asked) == n)
        with pytest.raises(Stopped):
            run_finetuning(make_parts(), QUICK, stopped, callbacks=callbacks)
        info = json.loads((stopped / "run.json").read_text())
        assert info["state"] == "failed"
        assert "stopped after update" in info["reason"]
    run_finetuning(make_parts(), QUICK, stopped)
    for name in ("history.csv", "predictions.csv", "confusion.csv", "config.toml", "metrics.json"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes(), name
    ours, theirs = (load_file(run / "weights.safetensors") for run in (stopped, whole))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


@pytest.mark.slow
def test_the_state_of_a_training_by_python_is_taken_over(tmp_path: Path) -> None:
    parts, run = make_parts(), tmp_path / "run"
    run.mkdir()
    (run / "log").write_text("mine")
    asked = iter(range(1, 99))
    with pytest.raises(Stopped):
        finetune(
            parts.train, parts.valid, QUICK, progress=run / "progress.safetensors",
            stopped=lambda: next(asked) == 3,
        )  # fmt: skip
    other = tmp_path / "other"
    shutil.copytree(run, other)
    with pytest.raises(OtherTrainingError, match="unfinished training with other settings"):
        run_finetuning(parts, replace(QUICK, seed=5), other)
    assert {file.name for file in other.iterdir()} == {"log", "progress.safetensors"}
    updates: list[int] = []
    report = run_finetuning(
        parts, QUICK, run, callbacks=Callbacks(update=lambda n, *_: updates.append(n))
    )
    assert updates == [4]
    assert report == run_finetuning(parts, QUICK, tmp_path / "whole")
    assert (run / "log").read_text() == "mine"


def test_a_folder_with_a_state_and_other_files_is_not_taken_over(tmp_path: Path) -> None:
    parts = make_parts()
    with pytest.raises(Stopped):
        finetune(
            parts.train, parts.valid, QUICK, progress=tmp_path / "progress.safetensors",
            stopped=lambda: True,
        )  # fmt: skip
    (tmp_path / "weights.safetensors").write_bytes(b"precious")
    with pytest.raises(RunError, match=r"holds weights.safetensors and no run.json"):
        run_finetuning(parts, QUICK, tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    (tmp_path / "progress.safetensors").write_bytes(b"broken")
    with pytest.raises(StateError, match="is damaged"):
        run_finetuning(parts, QUICK, tmp_path)


@pytest.mark.slow
def test_a_run_is_replaced_only_when_asked_and_resumed_only_as_itself(tmp_path: Path) -> None:
    run_finetuning(make_parts(), replace(QUICK, epochs=1), tmp_path)
    with pytest.raises(RunError, match=r"epochs is 2, not 1\. .* pass --overwrite to replace it"):
        run_finetuning(make_parts(), QUICK, tmp_path)
    with pytest.raises(Stopped):
        run_finetuning(
            make_parts(), QUICK, tmp_path, overwrite=True, callbacks=Callbacks(stopped=lambda: True)
        )
    assert not (tmp_path / "weights.safetensors").exists()
    threads = torch.get_num_threads()
    for changed, named in (
        ({"half": True}, "holds another run: different precision of the stored weights"),
        ({"threads": threads + 1}, f"threads is {threads + 1}, not {threads}"),
    ):
        with pytest.raises(RunError, match=named):
            run_finetuning(make_parts(), QUICK, tmp_path, **changed)
    other = make_parts(test=make_stills(7, 5))
    with pytest.raises(RunError, match="holds another run: different images"):
        run_finetuning(other, QUICK, tmp_path)
    assert (tmp_path / "progress.safetensors").exists()


def test_a_finished_run_is_left_as_it_is_by_the_same_call(tmp_path: Path) -> None:
    report = run_finetuning(make_parts(), QUICK, tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    again = run_finetuning(make_parts(), QUICK, tmp_path / "run")
    assert again == json.loads(json.dumps(report))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before


def test_test_images_are_not_looked_at_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[tuple[str, int]] = []
    real = module.predict_part

    def note(classifier: FaceClassifier, part: Stills, name: str, *rest: Any) -> Any:
        scored.append((name, len(part)))
        return real(classifier, part, name, *rest)

    monkeypatch.setattr(module, "predict_part", note)
    run_finetuning(make_parts(), QUICK, tmp_path / "a")
    assert scored == [("valid", 5), ("test", 11)]
    # Other test images change neither the training nor its history.
    run_finetuning(make_parts(test=make_stills(7, 5)), QUICK, tmp_path / "b")
    first, second = ((tmp_path / run / "history.csv").read_text() for run in "ab")
    assert first == second


def test_images_that_stand_in_training_too_are_counted_and_left_out_beside(tmp_path: Path) -> None:
    test, train = make_stills(11, 2), make_stills(13, 0)
    images = test.images.copy()
    images[[1, 4]] = train.images[[7, 10]]
    leaky = Stills(images, test.targets, test.labels, test.classes, test.names)
    report = run_finetuning(make_parts(test=leaky), replace(QUICK, epochs=1), tmp_path)
    assert report["data"]["test"]["also_in_train"] == 2
    assert report["data"]["valid"]["also_in_train"] == 0
    assert report["test"]["new"]["n"] == 9
    assert report["warnings"] == ["2 test images stand in training too, pixel for pixel"]
    assert "without copies of training images" in format_still_report(report)


def test_without_test_images_the_figures_are_of_validation_images_and_say_so(
    tmp_path: Path,
) -> None:
    none = make_stills(5).select(np.zeros(0, np.int64))
    report = run_finetuning(make_parts(test=none), replace(QUICK, epochs=1), tmp_path / "a")
    assert report["test"] is None
    assert "these figures are of the validation images" in report["warnings"][-1]
    assert "test: no images" in format_still_report(report)
    both = run_finetuning(make_parts(valid=none), replace(QUICK, epochs=1), tmp_path / "b")
    assert both["valid"] is None
    last = (tmp_path / "b" / "history.csv").read_text().splitlines()[-1]
    assert last.endswith(",,")


def test_colour_images_and_weights_to_start_from(tmp_path: Path) -> None:
    def colour(stills: Stills) -> Stills:
        images = np.stack([stills.images, stills.images // 2, 255 - stills.images], axis=3)
        return Stills(images, stills.targets, stills.labels, stills.classes, stills.names)

    parts = {name: colour(part) for name, part in make_parts().named().items()}
    start = save_classifier(FaceClassifier("narrow", 5, seed=4), tmp_path / "start.st", FACTS)
    report = run_finetuning(
        make_parts(**parts), replace(QUICK, epochs=1, grey=False), tmp_path / "run", weights=start
    )
    facts = load_classifier(tmp_path / "run" / "weights.safetensors").facts
    assert facts.grey is False
    assert len(facts.start or "") == 64
    assert report["test"]["n"] == 11


def test_a_network_that_exploded_is_refused_although_norms_keep_its_loss_finite() -> None:
    classifier = FaceClassifier("narrow", 3)
    with torch.no_grad():
        classifier.classifier.weight.fill_(3e38)
    with pytest.raises(DivergedError, match=r"answers to the test images are not finite; lower"):
        predict_part(classifier, make_stills(5), "test", QUICK)


def test_images_that_cannot_be_trained_on_leave_no_run(tmp_path: Path) -> None:
    with pytest.raises(StillsError, match="no training image shows sad"):
        run_finetuning(make_parts(train=make_stills(2)), QUICK, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_that_diverged_or_are_cut_off_are_no_start(tmp_path: Path) -> None:
    classifier = FaceClassifier("narrow", 3)
    with torch.no_grad():
        classifier.network.conv1.weight[0, 0, 0, 0] = float("nan")
    path = save_classifier(classifier, tmp_path / "a.safetensors", FACTS)
    with pytest.raises(WeightsError, match=r"conv1.weight holds nan, inf or a negative variance"):
        run_finetuning(make_parts(), QUICK, tmp_path / "run", weights=path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(WeightsError, match="cut off or damaged"):
        run_finetuning(make_parts(), QUICK, tmp_path / "run", weights=path)
    assert not (tmp_path / "run").exists()


def test_half_precision_halves_kernels_and_leaves_norms(tmp_path: Path) -> None:
    run_finetuning(make_parts(), replace(QUICK, epochs=1), tmp_path / "run", half=True)
    state = load_file(tmp_path / "run" / "weights.safetensors")
    kinds = {name: value.dtype for name, value in state.items()}
    assert kinds["conv1.weight"] == kinds["fc.weight"] == torch.float16
    assert kinds["bn1.running_var"] == kinds["fc.bias"] == torch.float32
    classifier = FaceClassifier("narrow", 3)
    with torch.no_grad():
        classifier.classifier.weight[0, 0] = 1e6
    with pytest.raises(
        ValueError, match=r"classifier.weight has values too large for half precision"
    ):
        halve(classifier)
