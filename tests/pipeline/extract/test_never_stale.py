"""Exactly what depends on a changed file, clip, limit or entry is computed again."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipeline.extract.picture
from cache.entries.entry import read_entry_header
from cache.manifest.clip import Clip
from cache.sets.feature_set import find_set
from extractors.resnet18 import ResNet18
from extractors.weights.load import save_weights
from extractors.weights.random import initialise
from pipeline.extract.clip import extract_clip
from pipeline.extract.run import run_extract
from pipeline.extract.weights import WeightsChoice
from pipeline.faces.crops import crop_faces
from tests.pipeline.watched_corpus import ALL, SETS, Corpus, make_corpus, settings_with

pytestmark = pytest.mark.usefixtures("networks_built_once")


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    """A corpus whose every set is up to date."""
    made = make_corpus(tmp_path)
    assert made.extract(made.plan()) == made.both(ALL)
    return made


@pytest.mark.slow
def test_a_flipped_byte_of_a_video_recomputes_every_set_of_that_clip_only(corpus: Corpus) -> None:
    path = corpus.clips[0].path
    content = bytearray(path.read_bytes())
    content[-3] ^= 1  # in the last atom, which holds nothing but the encoder's name
    path.write_bytes(content)
    assert corpus.extract(corpus.plan()) == {(name, "c2") for name in ALL}


@pytest.mark.slow
def test_a_flipped_byte_of_a_weight_file_recomputes_the_network_only(corpus: Corpus) -> None:
    file = corpus.cache.parent / "weights.safetensors"
    module = ResNet18()
    initialise(module, seed=5)
    save_weights(module, file, {})
    plan = functools.partial(corpus.plan, weights=WeightsChoice(file))
    assert corpus.extract(plan()) == corpus.both(frozenset({"resnet18"}))
    os.utime(file)
    assert corpus.extract(plan()) == set()
    copy = file.with_name("copy.safetensors")
    shutil.copy(file, copy)
    assert corpus.extract(corpus.plan(weights=WeightsChoice(copy))) == set()
    content = bytearray(file.read_bytes())
    content[-100] ^= 1  # the lowest byte of a float32
    file.write_bytes(content)
    assert corpus.extract(plan()) == corpus.both(frozenset({"resnet18"}))
    file.write_bytes(copy.read_bytes())
    assert corpus.extract(plan()) == set()  # both sets are kept, each under its key


def test_touching_copying_and_renaming_a_video_recompute_nothing(corpus: Corpus) -> None:
    first, second = corpus.clips
    os.utime(first.path)
    moved = second.path.with_name("elsewhere.mp4")
    second.path.rename(moved)
    clips = (first, dataclasses.replace(second, path=moved))
    assert corpus.extract(corpus.plan(), clips) == set()
    copied = moved.with_name("copy.mp4")
    shutil.copy(moved, copied)
    clips = (first, dataclasses.replace(second, path=copied))
    assert corpus.extract(corpus.plan(), clips) == set()


def test_going_on_reads_the_header_of_a_whole_entry_once_and_knows_its_coverage(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, clip = corpus.plan(), corpus.clips[0]
    path = plan.feature_sets["resnet18"].entry_path(clip.id)
    coverage = read_entry_header(path).coverage
    opened: Counter[str] = Counter()
    real = os.open

    def count(path: str | Path, *arguments: Any, **options: Any) -> int:
        opened[Path(path).parent.parent.name] += 1
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", count)
    result = extract_clip(clip, plan)
    for planned in plan.sets:  # what a partial entry lacks stands behind its header
        partial = result.sets[planned.name].state == "partial"
        assert opened[planned.spec.folder] == 1 + partial
    assert {one.fresh for one in result.sets.values()} == {False}
    assert result.coverage == coverage is not None


def test_another_part_of_a_video_recomputes_that_clip_and_another_label_nothing(
    corpus: Corpus,
) -> None:
    first, second = corpus.clips
    labelled = dataclasses.replace(first, label="happy", split="train", speaker="s1", fold=2)
    assert corpus.extract(corpus.plan(), (labelled, second)) == set()
    cut = dataclasses.replace(first, end_seconds=0.06)
    assert corpus.extract(corpus.plan(), (cut, second)) == {(name, "c2") for name in ALL}


@pytest.mark.slow
def test_batch_size_jobs_and_retrying_failures_recompute_nothing(corpus: Corpus) -> None:
    for options in ({"batch_size": 7}, {"retry_failed": True}, {"command": ["another"]}):
        assert corpus.extract(corpus.plan(**options)) == set()
    assert corpus.extract(corpus.plan(), jobs=2) == set()


@pytest.mark.slow
def test_the_device_is_in_no_key(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("extractors.running.device.may_have_gpu", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    plan = corpus.plan(device="cuda:0")
    assert [planned.spec.key for planned in plan.sets] == [
        planned.spec.key for planned in corpus.plan().sets
    ]


@pytest.mark.slow
def test_chunks_and_batches_change_no_number_beyond_the_order_of_summation(
    corpus: Corpus, tmp_path: Path
) -> None:
    other = dataclasses.replace(corpus, cache=tmp_path / "other")
    chunks = settings_with({"decode": {"chunk_bytes": 1, "threads": 2}})  # a frame at a time
    other.extract(other.plan(chunks, batch_size=2))
    for clip in corpus.clips:
        for name in SETS:
            one, two = (find_set(c.cache, name).read(clip.id, verify=True) for c in (corpus, other))
            if name == "resnet18":
                scale = np.abs(one.arrays["basic"]).max()
                difference = np.abs(one.arrays["basic"] - two.arrays["basic"]).max()
                assert difference <= 1e-5 * scale  # see FaceNetwork
            else:
                assert one.checksums == two.checksums


@pytest.mark.slow
@pytest.mark.parametrize("state", ["partial", "failed"])
def test_what_a_limit_cut_short_is_made_again_when_that_limit_changes_and_not_before(
    state: str, corpus: Corpus
) -> None:
    """It was trusted for ever: limits are in no key."""
    # A whole file that declares too many frames is refused; a part of one is read up to the limit.
    end = 9.0 if state == "partial" else None
    clips = (Clip("long", corpus.clips[1].path, end_seconds=end),)
    video = {("faces", "long"), ("resnet18", "long")}
    low = corpus.plan(settings_with({"decode": {"max_frames": 2}}))
    first = {clip.clip: clip for clip in run_extract(clips, low, jobs=0).clips}
    assert first["long"].sets["faces"].state == state
    assert "(max_frames)" in first["long"].sets["faces"].why[0]
    again = run_extract(clips, low, jobs=0).clips[0]
    assert {result.fresh for result in again.sets.values()} == {False}
    other = corpus.plan(settings_with({"decode": {"max_frames": 2, "max_channels": 9}}))
    again = run_extract(clips, other, jobs=0).clips[0]
    assert {result.fresh for result in again.sets.values()} == {False}
    assert corpus.extract(corpus.plan(), clips) >= video
    assert find_set(corpus.cache, "faces").read("long").arrays["times"].shape == (3,)
    assert corpus.extract(corpus.plan(), clips) == set()


def test_a_damaged_entry_is_made_again_before_another_set_is_made_from_it(corpus: Corpus) -> None:
    """The body was not verified: a flipped bit of a time went into every embedding."""
    faces = find_set(corpus.cache, "faces")
    path = faces.entry_path("c2")
    times = faces.read("c2").arrays["times"].tobytes()
    whole = path.read_bytes()
    at = whole.index(times)
    path.write_bytes(whole[:at] + bytes([whole[at] ^ 64]) + whole[at + 1 :])
    corpus.extract(corpus.plan(settings_with({"crops": {"extend": 0.5}})))
    assert faces.read("c2", verify=True).arrays["times"].tobytes() == times


def test_a_partial_entry_that_is_damaged_behind_its_header_is_made_again(corpus: Corpus) -> None:
    """Reading what it lacks ended the whole run."""
    faces = find_set(corpus.cache, "faces")
    path = faces.entry_path("c3")
    content = bytearray(path.read_bytes())
    start = content.index(b"\x89HDF")
    content[start : start + 64] = bytes(64)
    path.write_bytes(content)
    assert corpus.extract(corpus.plan()) == {("faces", "c3"), ("identity", "c3")}
    faces.read("c3", verify=True)


def test_crops_are_made_in_pieces_that_are_bounded_like_chunks(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk of 48 MB of tiny frames became crops of 400 MB."""
    sizes = []

    def crop(images: np.ndarray, *others: Any) -> np.ndarray:
        crops = crop_faces(images, *others)
        sizes.append(crops.nbytes)
        return crops

    monkeypatch.setattr(pipeline.extract.picture, "crop_faces", crop)
    limit = 2 * 3 * 224**2
    other = dataclasses.replace(corpus, cache=corpus.cache.with_name("other"))
    other.extract(other.plan(settings_with({"decode": {"chunk_bytes": limit}})))
    assert sizes == [limit, limit, limit // 2]  # of clips with 2 and 3 frames
    one, two = (find_set(each.cache, "resnet18").read("c3") for each in (corpus, other))
    assert np.array_equal(one.arrays["times"], two.arrays["times"])
