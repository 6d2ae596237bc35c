"""Exported heads answer as avfuse's own do, for raw features of the cache, padding included."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from click.testing import CliRunner
from numpy.typing import NDArray

from cache.sets.feature_set import find_set
from pipeline.cli import main
from tests.trainer.experiment_helper import make_cache, make_clips, make_manifest, train
from trainer.data.features import summarise
from trainer.data.normalisation import Normalisation
from trainer.data.sequences import Sequences, Steps
from trainer.export.export import LOADER, convert_heads, export_heads
from trainer.export.raw import RawHead, Summary
from trainer.heads.head import make_head
from trainer.runs.ensemble import ensemble_runs
from trainer.runs.experiment import Protocol
from trainer.runs.folder import Run, RunError, read_members, read_run
from trainer.settings import load_settings
from trainer.training.trained import TrainedHead, load_checkpoint

pytestmark = pytest.mark.usefixtures("no_pictures")
FAST = (
    "audio.features=statistics", "audio.attention=mean", "fusion.kind=concat",
    "video.attention=self",
)  # fmt: skip
TWO = Protocol(folds="speaker:2")
# One of each pooling, fusion, prior and calibration that a head without an encoder may have.
KINDS = {
    "fast": FAST,
    "papers": (
        *FAST, "video.attention=relation", "audio.attention=transformer", "fusion.kind=fbp",
        "prior=train", "calibrate=temperature",
    ),
    "transformer": (
        *FAST, "video.attention=transformer", "fusion.kind=fbp", "fusion.signed_sqrt=true",
        "fusion.factor_bias=true", "video.embedding_dim=5", "video.scale=0.5",
    ),
    "unreduced": (
        *FAST, "video.attention=transformer", "video.pooled=unreduced", "fusion.kind=late",
        "prior=sqrt-train", "audio.normalise=none",
    ),
    "video": ("fusion.kind=video", "video.attention=mean", "video.embedding_dim=3"),
}  # fmt: skip


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache and a manifest of 24 clips; three have no sound."""
    folder = tmp_path_factory.mktemp("corpus")
    clips = make_clips(folder)
    make_cache(folder / "cache", clips, silent=("c01", "c07", "c23"))
    make_manifest(folder, clips)
    return folder


@pytest.fixture(scope="module")
def runs(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    from cache.manifest.manifest import read_manifest

    folder = tmp_path_factory.mktemp("runs")
    manifest = read_manifest(corpus / "manifest.csv", check_files=False)
    return {
        name: train(manifest, corpus / "cache", folder / name, TWO, overrides)
        for name, overrides in KINDS.items()
    }


def raw_features(cache: Path, clips: list[str]) -> dict[str, NDArray[Any]]:
    """Features as the cache has them, padded with nan: what stands there must not matter."""
    inputs: dict[str, NDArray[Any]] = {}
    for name, stored, array in (
        ("video", "resnet18", "basic"), ("audio", "spectrogram", "spectrogram"),
    ):  # fmt: skip
        own = [find_set(cache, stored).read(clip).arrays[array] for clip in clips]
        longest = max(map(len, own)) + 2
        inputs[name] = np.full((len(own), longest, own[0].shape[1]), np.nan, np.float32)
        inputs[f"{name}_mask"] = np.zeros((len(own), longest), np.bool_)
        for row, values in enumerate(own):
            inputs[name][row, : len(values)] = values
            inputs[f"{name}_mask"][row, : len(values)] = True
    return inputs


def answers_of(run: Run, head: str) -> tuple[list[str], NDArray[np.float64]]:
    """The clips that a head was tested on, and its probabilities for them."""
    _, fold, _, seed = head.split("-")
    table = read_members(run)[f"seed-{seed}"]
    own = table.select(lambda i: table.folds[i] == int(fold))
    return list(own.clips), own.probabilities


HEADS = ["fold-0-seed-0", "fold-1-seed-0"]


@pytest.mark.slow
def test_onnxruntime_answers_as_avfuse_does(
    runs: dict[str, Run], corpus: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    assert sorted(export_heads(runs["fast"], "onnx", tmp_path / "heads")) == HEADS
    for head in HEADS:
        session = runtime.InferenceSession(tmp_path / "heads" / f"{head}.onnx")
        clips, expected = answers_of(runs["fast"], head)
        (found,) = session.run(None, raw_features(corpus / "cache", clips))
        assert np.abs(found - expected).max() < 1e-5
        # Alone, with other padding, each clip gets the same.
        (alone,) = session.run(None, raw_features(corpus / "cache", clips[:1]))
        assert np.abs(alone - expected[:1]).max() < 1e-5
    data = (tmp_path / "heads" / f"{HEADS[0]}.onnx").read_bytes()
    assert str(Path(__file__).parents[3]).encode() not in data  # no path of this machine
    assert b".py" not in data
    import onnx

    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)


def papers_head() -> TrainedHead:
    """A head as the papers have it, encoder included, with random parameters."""
    words = ["video.attention=relation", "prior=train", "fusion.out_dim=11", "video.hidden_dim=13"]
    settings = load_settings("icmi19", words)
    shapes = {"video": (7,), "audio": (17, 3)}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = make_head(settings, shapes, 5).state_dict()
    fitted = Normalisation(np.full((17, 3), 0.5, np.float32), np.full((17, 3), 2.0, np.float32))
    return TrainedHead(
        settings=settings,
        classes=tuple("abcde"),
        shapes=shapes,
        state=state,
        normalisation={"audio": fitted},
        prior=np.array([1, 2, 3, 4, 5]) / 15,
        seed=0,
        features={"video": "basic", "audio": "logmel"},
        set_keys={},
        untrained=False,
    )


def papers_inputs() -> dict[str, torch.Tensor]:
    """Clips with sound below the encoder's reach, none, and much; nan stands on the padding."""
    generator = torch.Generator().manual_seed(1)
    inputs = {}
    for name, lengths, shape in (
        ("video", (3, 5, 1, 0), (7,)),
        ("audio", (20, 0, 143, 80), (17, 3)),
    ):
        inputs[name] = torch.full((4, max(lengths) + 3, *shape), torch.nan)
        inputs[f"{name}_mask"] = torch.zeros(4, max(lengths) + 3, dtype=torch.bool)
        for row, length in enumerate(lengths):
            inputs[name][row, :length] = torch.randn(length, *shape, generator=generator)
            inputs[f"{name}_mask"][row, :length] = True
    return inputs


@torch.no_grad()
def papers_answers(head: TrainedHead, inputs: dict[str, torch.Tensor]) -> NDArray[np.float64]:
    """Probabilities by the head itself: normalised by hand, the prior applied by hand."""
    audio = (inputs["audio"] - 0.5) / 2.0
    audio = audio.masked_fill(~inputs["audio_mask"][..., None, None], 0.0)
    video = inputs["video"].masked_fill(~inputs["video_mask"][..., None], 0.0)
    steps = {
        "video": Steps(video, inputs["video_mask"]), "audio": Steps(audio, inputs["audio_mask"]),
    }  # fmt: skip
    weighted = head.module()(**steps).logits.double().softmax(dim=1).numpy() * head.prior
    return np.asarray(weighted / weighted.sum(axis=1, keepdims=True))


def test_the_papers_encoder_gives_the_same_in_operations_that_can_be_exported() -> None:
    head, inputs = papers_head(), papers_inputs()
    with torch.no_grad():
        found = RawHead(head).eval()(**inputs).numpy()
    assert np.abs(found - papers_answers(head, inputs)).max() < 1e-6
    assert np.ptp(found, axis=0).min() > 1e-3  # the clips differ


@pytest.mark.slow
def test_onnxruntime_answers_as_the_papers_heads_do() -> None:
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    head, inputs = papers_head(), papers_inputs()
    (data,) = convert_heads([head])
    given = {name: tensor.numpy() for name, tensor in inputs.items()}
    (found,) = runtime.InferenceSession(data).run(None, given)
    assert np.abs(found - papers_answers(head, inputs)).max() < 1e-5


@pytest.mark.slow
def test_the_loader_answers_as_avfuse_does_where_avfuse_cannot_be_imported(
    runs: dict[str, Run], corpus: Path, tmp_path: Path
) -> None:
    tensors: dict[str, NDArray[Any]] = {}
    for kind, run in runs.items():
        assert sorted(export_heads(run, "torch", tmp_path / kind)) == HEADS
        for head in HEADS:
            clips, expected = answers_of(run, head)
            tensors[f"{kind}/{head}/expected"] = expected
            for name, values in raw_features(corpus / "cache", clips).items():
                tensors[f"{kind}/{head}/{name}"] = values
    safetensors.numpy.save_file(tensors, tmp_path / "given.safetensors")
    script = """
import sys
for name in ("cache", "trainer", "pipeline", "extractors"):
    sys.modules[name] = None  # an import of it fails
sys.path.insert(0, "fast")
import json
from load_head import load_head, load_file
given = load_file("given.safetensors")
for kind, head in sorted({tuple(name.split("/")[:2]) for name in given}):
    predict, classes = load_head(kind, head)
    own = {name.split("/")[2]: given[name] for name in given if name.startswith(f"{kind}/{head}/")}
    inputs = json.load(open(f"{kind}/config.json"))["inputs"]
    found = predict(**{name: (own[name], own[f"{name}_mask"]) for name in inputs})
    print(kind, float((found - own["expected"]).abs().max()), *classes)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={"PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert len(lines) == 2 * len(KINDS)
    for kind, error, *classes in lines:
        assert float(error) < 1e-5, kind
        assert tuple(classes) == runs[kind].classes


def test_the_statistics_are_those_that_training_computes() -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = [5, 1, 0, 11]
    features = torch.full((4, 13, 3), torch.nan)
    mask = torch.zeros(4, 13, dtype=torch.bool)
    for row, length in enumerate(lengths):
        features[row, :length] = torch.randn(length, 3, generator=generator)
        mask[row, :length] = True
    own = np.concatenate([features[row, :length] for row, length in enumerate(lengths)])
    offsets = np.cumsum([0, *lengths])
    expected = summarise(Sequences(own, np.arange(len(own), dtype=np.float64), offsets))
    values, real = Summary()(features, mask)
    assert real[:, 0].tolist() == [True, True, False, True]
    assert np.allclose(values[real[:, 0], 0], expected.values, atol=1e-6)
    assert not values[2].any()


def test_config_says_what_a_head_wants(runs: dict[str, Run], tmp_path: Path) -> None:
    export_heads(runs["fast"], "torch", tmp_path / "heads")
    config = json.loads((tmp_path / "heads" / "config.json").read_text())
    assert config["classes"] == list(runs["fast"].classes)
    assert config["heads"]["fold-1-seed-0"] == {"fold": 1, "seed": 0}
    assert config["inputs"]["video"]["step"] == [11]
    # 200 bins: the seven statistics of each are made inside
    assert (config["inputs"]["audio"]["step"], config["inputs"]["audio"]["features"]) == (
        [200], "statistics",
    )  # fmt: skip
    assert config["sets"] == dict(load_checkpoint(_checkpoint(runs["fast"])).set_keys)
    assert (tmp_path / "heads" / LOADER).is_file()


def _checkpoint(run: Run) -> Path:
    return run.path / "checkpoints" / f"{HEADS[0]}.safetensors"


def test_what_cannot_be_exported_is_named(
    runs: dict[str, Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, out = runs["fast"], tmp_path / "heads"
    ensemble_runs([run.path, runs["video"].path], tmp_path / "e")
    joined = read_run(tmp_path / "e")
    with pytest.raises(RunError, match=r"has no heads of its own .*; use the runs"):
        export_heads(joined, "torch", out)
    head = load_checkpoint(_checkpoint(run))
    audio = replace(head.settings.audio, encoder="cnn")
    with pytest.raises(RunError, match="encoder=cnn can't be exported"):
        RawHead(replace(head, settings=replace(head.settings, audio=audio)))
    video = replace(head.settings.video, normalise="per-speaker")
    with pytest.raises(RunError, match="normalise=per-speaker needs all clips of a speaker"):
        RawHead(replace(head, settings=replace(head.settings, video=video)))
    monkeypatch.setattr("trainer.export.export.LOADABLE", ("mean", "relation"))
    with pytest.raises(RunError, match="and this run has self; --to onnx takes it"):
        export_heads(run, "torch", out)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(RunError, match=r"pip install 'avfuse\[onnx\]'"):
        export_heads(run, "onnx", out)
    assert not out.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["e"]  # nothing is left over
    out.mkdir()
    with pytest.raises(RunError, match="heads exists; choose another folder"):
        export_heads(run, "torch", out)


def test_the_command_writes_heads_and_says_so(runs: dict[str, Run], tmp_path: Path) -> None:
    words = ["export", str(runs["fast"].path), "--to", "torch", "-o", str(tmp_path / "heads")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    assert "heads: 2 heads: fold-0-seed-0, fold-1-seed-0" in result.stdout
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 2
    assert "exists; choose another folder" in result.stderr
    gone = _checkpoint(runs["video"])
    gone.rename(gone.with_suffix(".gone"))
    words[1] = str(runs["video"].path)
    result = CliRunner().invoke(main, [*words[:-1], str(tmp_path / "other")])
    gone.with_suffix(".gone").rename(gone)
    assert result.exit_code == 2
    assert "is gone; train the run again" in result.stderr
