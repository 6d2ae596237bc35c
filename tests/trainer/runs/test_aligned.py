"""Runs whose voices are laid along the sentences that they say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch

from cache.manifest.manifest import Clip, Manifest, read_manifest, write_manifest
from cache.sets.feature_set import FeatureSet, SetSpec
from extractors.sound.functionals import VOICE_FUNCTIONALS
from tests.trainer.corpus_helper import source_of
from tests.trainer.voice_helper import SEMITONES, say
from trainer.data.corpus import CorpusError, load_corpus
from trainer.data.sentences import NUM_NUMBERS
from trainer.explain.cached import explain_run
from trainer.runs.experiment import Protocol, run_experiment
from trainer.runs.folder import read_run
from trainer.runs.heads import load_heads
from trainer.settings import TrainSettings, load_settings
from trainer.training.predict import predict_head
from trainer.training.trained import CheckpointError, load_checkpoint

SETTINGS = (
    "fusion.kind=audio",
    "audio.set=voice",
    "audio.features=auto",
    "audio.align=sentence",
)
NUM_CLIPS = 24
PROTOCOL = Protocol(folds="speaker:2")


def make_voices(folder: Path) -> Manifest:
    """Write voices of 4 speakers and 2 sentences; a class shows in where the pitch is high.

    High is the first half of the sentence or the second, so that the functionals, which here are
    noise anyway, need not know.
    """
    voices = FeatureSet(folder / "cache", SetSpec("voice", {}, version=1)).create({})
    clips = []
    for number in range(NUM_CLIPS):
        sentence, late = number % 2, number // 2 % 2
        clip = Clip(f"c{number:02}", folder / f"c{number:02}.wav", ("high", "low")[late])
        speaker = f"s{number * 4 // NUM_CLIPS}"
        clips.append(replace(clip, speaker=speaker, sentence=("dogs", "kids")[sentence]))
        steps = say(sentence, number)
        middle = len(steps) // 2
        steps[middle:, SEMITONES] += 6.0 if late else 0.0
        steps[:middle, SEMITONES] += 0.0 if late else 6.0
        noise = np.random.default_rng(number).normal(size=(1, len(VOICE_FUNCTIONALS)))
        source = source_of(clip.id)
        with voices.writer(clip.id, source=source, provenance={}, upstream={}) as writer:
            writer.append(times=np.arange(len(steps)) / 100, steps=steps)
            writer.append(**{"clip/functionals": noise.astype(np.float32)})
            writer.finish(missing=())
    path = write_manifest(folder / "manifest.csv", clips)
    return read_manifest(path, check_files=False)


def settings(*more: str) -> TrainSettings:
    return load_settings("svm", [*SETTINGS, *more])


def train(manifest: Manifest, run: Path, *more: str) -> dict[str, Any]:
    return run_experiment(
        manifest, manifest.path.parent / "cache", settings(*more), run, PROTOCOL, threads=1
    )


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make_voices(tmp_path_factory.mktemp("voices"))


@pytest.fixture(scope="module")
def aligned(voices: Manifest) -> Path:
    run = voices.path.parent / "aligned"
    train(voices, run)
    return run


def test_a_head_on_aligned_voices_knows_what_stands_where_in_a_sentence(
    voices: Manifest, aligned: Path, tmp_path: Path
) -> None:
    run = read_run(aligned)
    assert run.metrics["all"]["ensemble"]["accuracy"] == 1.0
    (head, *_) = load_heads(run)
    assert head.trained.shapes["audio"] == (len(VOICE_FUNCTIONALS) + NUM_NUMBERS,)
    assert head.trained.templates is not None
    assert head.trained.templates.sentences == ("dogs", "kids")
    assert (
        train(voices, tmp_path / "whole", "audio.align=none")["all"]["ensemble"]["accuracy"] < 1.0
    )


def test_sentences_of_tested_clips_change_nothing(voices: Manifest, tmp_path: Path) -> None:
    split = [
        replace(clip, split="test" if clip.speaker == "s0" else "train") for clip in voices.clips
    ]
    lied = [replace(clip, sentence=None) if clip.split == "test" else clip for clip in split]
    tables = []
    for name, clips in (("told", split), ("lied", lied)):
        path = write_manifest(tmp_path / name / "manifest.csv", clips)
        run_experiment(
            read_manifest(path, check_files=False),
            voices.path.parent / "cache",
            settings(),
            tmp_path / name / "run",
            Protocol(report_on="test"),
            threads=1,
        )
        tables.append(read_run(tmp_path / name / "run"))
    told, lied_run = tables
    assert np.array_equal(told.predictions.probabilities, lied_run.predictions.probabilities)
    assert told.info["identity"] != lied_run.info["identity"]


def test_a_head_that_was_stored_lays_clips_along_its_own_templates(
    voices: Manifest, aligned: Path
) -> None:
    run = read_run(aligned)
    corpus = load_corpus(voices.path.parent / "cache", run.predictions.clips, settings())
    for head in load_heads(run):
        rows = [n for n, fold in enumerate(run.predictions.folds) if fold == head.fold]
        found = predict_head(head.trained, corpus, rows)
        assert found.probabilities == pytest.approx(run.predictions.probabilities[rows])


def test_aligned_clips_are_explained_without_windows(aligned: Path) -> None:
    (found,) = explain_run(read_run(aligned), ["c03"]).values()
    assert found.prediction == found.label
    assert len(found.windows.times) == 0


def test_templates_of_another_shape_are_a_damaged_checkpoint(aligned: Path, tmp_path: Path) -> None:
    source = aligned / "checkpoints" / "fold-0-seed-0.safetensors"
    tensors = safetensors.torch.load_file(source)
    with safetensors.safe_open(source, framework="pt") as file:
        facts = file.metadata()
    tensors["sentence.1"] = tensors["sentence.1"][:, :5].contiguous()
    damaged = tmp_path / "damaged.safetensors"
    safetensors.torch.save_file(tensors, damaged, facts)
    with pytest.raises(CheckpointError, match=r"template of a sentence is .*, 5\) float32"):
        load_checkpoint(damaged)


def test_alignment_of_steps_or_beside_an_encoder_is_refused(voices: Manifest) -> None:
    cache = voices.path.parent / "cache"
    with pytest.raises(CorpusError, match="functionals of the set voice, got the array steps"):
        load_corpus(cache, ["c00"], settings("audio.features=steps"))
    with pytest.raises(ValueError, match="which encoder=cnn can't take"):
        load_settings("fast", [*SETTINGS, "audio.encoder=cnn"])
