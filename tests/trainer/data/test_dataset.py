"""Clips as a dataset of PyTorch: what it holds, padding, workers that are spawned, refusals."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from cache.manifest.clip import Clip
from cache.manifest.manifest import write_manifest
from cache.sets.feature_set import find_set
from tests.trainer.corpus_helper import write_set
from trainer import Dataset, Example, collate
from trainer.data.corpus import CorpusError

VIDEO_DIM, BINS = 5, 7
STEPS = {"a": 3, "b": 2, "c": 5, "silent": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips with features, one that failed, one never extracted, one without a label."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = np.random.default_rng(0)
    values = {c: rng.normal(size=(n, VIDEO_DIM)).astype(np.float32) for c, n in STEPS.items()}
    sound = {c: rng.normal(size=(2 * n, BINS)).astype(np.float32) for c, n in STEPS.items()}
    sound["silent"] = sound["silent"][:0]
    video = {c: {"mean": v, "std": v**2, "basic": -v} for c, v in values.items()}
    lost = {"failed": "no picture"}
    write_set(
        folder / "cache", "resnet18", {**video, "nobody": video["a"], **lost}, weights="a" * 64
    )
    write_set(
        folder / "cache", "spectrogram", {c: {"spectrogram": v} for c, v in sound.items()} | lost
    )
    labels = {"a": "sad", "b": "happy", "c": "sad", "silent": "fear", "failed": "sad", "new": "sad"}
    clips = [Clip(c, folder / f"{c}.mp4", label, "train") for c, label in labels.items()]
    clips[1] = Clip("b", folder / "b.mp4", "happy", "test")
    write_manifest(folder / "manifest.csv", [*clips, Clip("nobody", folder / "n.mp4")])
    return folder


def dataset_of(folder: Path, **options: object) -> Dataset:
    chosen = {"sets": {"video": "resnet18", "audio": "spectrogram"}, **options}
    return Dataset(folder / "manifest.csv", cache=folder / "cache", **chosen)  # type: ignore[arg-type]


def test_clips_with_a_label_and_features_are_there_and_the_others_are_named(folder: Path) -> None:
    dataset = dataset_of(folder)
    assert dataset.clip_ids == ("a", "b", "c", "silent")
    assert dataset.classes == ("fear", "happy", "sad")
    assert dataset.labels.tolist() == [2, 1, 2, 0]
    assert dataset.shapes == {"video": (VIDEO_DIM,), "audio": (BINS,)}
    assert dataset.without["failed"] == "failed (decode): no picture"
    assert "never extracted" in dataset.without["new"]
    stored = find_set(folder / "cache", "resnet18").read("c")["basic"]
    assert np.array_equal(dataset[2].features["video"].numpy(), stored)
    assert dataset[-1].clip == "silent"
    assert dataset[-1].features["audio"].shape == (0, BINS)
    with pytest.raises(IndexError):
        dataset[4]


def test_features_are_derived_as_for_a_run(folder: Path) -> None:
    dataset = dataset_of(folder, sets={"video": "resnet18"}, features={"video": "mean_std"})
    entry = find_set(folder / "cache", "resnet18").read("a")
    expected = np.concatenate([entry["mean"], entry["std"]], axis=1)
    assert np.array_equal(dataset[0].features["video"].numpy(), expected)
    assert dataset[0].features.keys() == {"video"}


def test_a_split_or_a_list_of_clips_is_taken_with_the_classes_of_all(folder: Path) -> None:
    assert dataset_of(folder, split="test").clip_ids == ("b",)
    chosen = dataset_of(folder, clips=["c", "a"])
    assert (chosen.clip_ids, chosen.classes) == (("a", "c"), ("fear", "happy", "sad"))


def test_a_batch_is_padded_with_zeros_that_the_mask_marks(folder: Path) -> None:
    dataset = dataset_of(folder)
    batch = collate([dataset[i] for i in (2, 3, 1)])
    features, mask = batch.features["video"]
    assert features.shape == (3, 5, VIDEO_DIM)
    assert mask.tolist() == [[True] * n + [False] * (5 - n) for n in (5, 2, 2)]
    assert torch.equal(features[2, :2], dataset[1].features["video"])
    assert not features[~mask].any()
    assert batch.features["audio"].mask.sum(dim=1).tolist() == [10, 0, 4]
    assert (batch.labels.tolist(), batch.clips) == ([2, 0, 1], ("c", "silent", "b"))


def test_a_batch_without_a_step_has_one_that_is_padding() -> None:
    features, mask = collate([Example({"audio": torch.zeros(0, 3)}, 0, "x")]).features["audio"]
    assert features.shape == (1, 1, 3)
    assert mask.tolist() == [[False]]
    with pytest.raises(ValueError, match="at least one clip, got none"):
        collate([])


def test_a_clip_is_a_copy_of_its_own_steps(folder: Path) -> None:
    """A transform may work in place, and a worker sends no more than the clip."""
    dataset = dataset_of(folder)
    features = dataset[2].features["video"]
    assert features.untyped_storage().nbytes() == STEPS["c"] * VIDEO_DIM * 4
    features.zero_()
    assert dataset[2].features["video"].any()


def test_what_stands_beside_a_clip_in_a_batch_never_matters(folder: Path) -> None:
    dataset = dataset_of(folder)
    alone = collate([dataset[1]])
    both = collate([dataset[2], dataset[1]])
    for name in ("video", "audio"):
        features, mask = both.features[name]
        assert torch.equal(features[1][mask[1]], alone.features[name].features[0])


def test_it_pickles(folder: Path) -> None:
    dataset = dataset_of(folder)
    again = pickle.loads(pickle.dumps(dataset))  # noqa: S301 - our own
    assert torch.equal(again[2].features["video"], dataset[2].features["video"])
    assert (again.classes, again.without) == (dataset.classes, dataset.without)


@pytest.mark.slow
def test_spawned_workers_give_the_batches_of_this_process(folder: Path) -> None:
    dataset = dataset_of(folder)
    loaders = [
        DataLoader(dataset, 3, collate_fn=collate, **options)
        for options in ({}, {"num_workers": 2, "multiprocessing_context": "spawn"})
    ]
    for here, there in zip(*loaders, strict=True):
        assert here.clips == there.clips
        assert torch.equal(here.labels, there.labels)
        for name in here.features:
            assert all(map(torch.equal, here.features[name], there.features[name]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sets": {}}, "no set is named"),
        ({"sets": {"sound": "spectrogram"}}, "no modality 'sound'; there are video and audio"),
        ({"features": {"text": "auto"}}, "no modality 'text'"),
        ({"sets": {"video": "resnet18"}, "features": {"audio": "auto"}}, "given for audio, and no"),
        ({"sets": {"video": "ir50"}}, "no feature set ir50; it has resnet18-"),
        ({"features": {"video": "norm"}}, "offers no features 'norm'"),
        ({"split": "val"}, "no labelled clip of split 'val'"),
        ({"clips": ["z"]}, "no clip 'z' in "),
        ({"clips": ["failed"]}, "none of the 1 clips has an entry in"),
        ({"classes": ["sad", "happy"]}, "label 'fear' is not one of the classes"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], message: str, folder: Path) -> None:
    with pytest.raises(ValueError, match=message):
        dataset_of(folder, **options)


def test_features_of_another_part_of_the_file_are_refused(folder: Path) -> None:
    cut = folder / "cut.csv"
    text = "clip,path,label,start_seconds,end_seconds\na,a.mp4,sad,1,2\n"
    cut.write_text(text, encoding="utf-8")
    with pytest.raises(CorpusError, match="stale"):
        Dataset(cut, cache=folder / "cache", sets={"video": "resnet18"})
