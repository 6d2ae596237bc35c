"""Corpora read from real caches: joins, failures, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.entries.coverage import Coverage
from cache.sets.spec import SetError
from cache.settings import settings_from
from tests.trainer.corpus_helper import source_of, toy_corpus, values, write_set
from trainer.data.corpus import UNLABELLED, Corpus, CorpusError, load_corpus
from trainer.data.features import FeaturesError, norm_fft, peek_shape
from trainer.settings import TrainSettings

CLIPS = ["ada", "bob", "cid"]
STEPS = {"ada": 3, "bob": 1, "cid": 2}


def network(seed: int = 0, dim: int = 5, **steps: int) -> dict[str, dict[str, np.ndarray]]:
    return {
        clip: {
            name: values(n, dim, seed=seed + i) for i, name in enumerate(["basic", "mean", "std"])
        }
        for clip, n in (steps or STEPS).items()
    }


def settings(**tables: Any) -> TrainSettings:
    return settings_from(TrainSettings, {"fusion": {"kind": "video"}, **tables})


def load(cache: Path, chosen: TrainSettings, **options: Any) -> Corpus:
    return load_corpus(cache, CLIPS, chosen, **options)


def test_a_corpus_has_every_clips_steps_labels_and_where_they_came_from(tmp_path: Path) -> None:
    clips = network()
    made = write_set(tmp_path, "ir50", clips)
    corpus = load(tmp_path, settings(), labels={"ada": "sad", "cid": "happy"})
    assert corpus.clip_ids == ("ada", "bob", "cid")
    assert corpus.classes == ("happy", "sad")
    assert corpus.labels.tolist() == [1, UNLABELLED, 0]
    for i, clip in enumerate(CLIPS):
        np.testing.assert_array_equal(corpus.sequences["video"].of(i), clips[clip]["basic"])
        np.testing.assert_allclose(
            corpus.sequences["video"].times_of(i), np.arange(STEPS[clip]) / 25
        )
    assert corpus.features == {"video": "basic"}
    assert corpus.set_keys == {"ir50": made.spec.key}
    assert corpus.states == {"video": ("ok", "ok", "ok")}
    assert corpus.checksums["ir50/basic"][1] == made.read("bob", []).checksums["basic"]
    assert not corpus.untrained


def test_a_corpus_says_in_how_many_frames_of_the_entries_read_there_was_a_face(
    tmp_path: Path,
) -> None:
    made = write_set(tmp_path, "ir50", network())
    coverage = Coverage({"detect": 2, "whole": 1}, 0.4)
    with made.writer("ada", source=source_of("ada"), provenance={}) as writer:
        writer.append(times=np.arange(3.0), basic=values(3, 5))
        writer.finish(facts={"coverage": coverage.to_json()})
    corpus = load(tmp_path, settings())
    assert corpus.coverage == {"ir50": {"ada": coverage}}


@pytest.mark.parametrize("features", ["mean_std", "norm_fft"])
def test_derived_features_are_made_when_read(tmp_path: Path, features: str) -> None:
    clips = network()
    write_set(tmp_path, "ir50", clips)
    corpus = load(tmp_path, settings(video={"features": features}))
    assert corpus.shapes == {"video": (10,)}
    for i, clip in enumerate(CLIPS):
        arrays = clips[clip]
        want = {
            "mean_std": np.hstack([arrays["mean"], arrays["std"]]),
            "norm_fft": norm_fft(arrays["basic"]),
        }[features]
        np.testing.assert_array_equal(corpus.sequences["video"].of(i), want)


def test_a_join_of_two_sets_means_is_their_means_side_by_side(tmp_path: Path) -> None:
    a, r = network(), network(seed=50, dim=7)
    write_set(tmp_path, "ir50-affectnet", a)
    write_set(tmp_path, "ir50-rafdb", r)
    corpus = load(
        tmp_path, settings(video={"set": "ir50-affectnet+ir50-rafdb", "features": "mean"})
    )
    want = np.hstack([a["cid"]["mean"], r["cid"]["mean"]])
    np.testing.assert_array_equal(corpus.sequences["video"].of(2), want)
    assert set(corpus.set_keys) == {"ir50-affectnet", "ir50-rafdb"}
    assert corpus.features == {"video": "mean+mean"}


def test_a_join_of_sets_with_other_steps_is_refused_and_names_the_clip(tmp_path: Path) -> None:
    write_set(tmp_path, "a", network())
    write_set(tmp_path, "b", network(ada=3, bob=2, cid=2))
    with pytest.raises(ValueError, match="clip bob has 1 steps in a and 2 in b"):
        load(tmp_path, settings(video={"set": "a+b"}))


def test_a_clip_that_failed_in_one_set_of_a_join_has_no_step(tmp_path: Path) -> None:
    write_set(tmp_path, "a", network())
    write_set(tmp_path, "b", {**network(seed=9), "bob": "moov atom not found"})
    corpus = load(tmp_path, settings(video={"set": "a+b"}))
    assert corpus.sequences["video"].lengths.tolist() == [3, 0, 2]
    assert corpus.states["video"] == ("ok", "failed", "ok")
    assert corpus.missing["video"][1] == ("failed (decode): moov atom not found",)
    assert corpus.checksums["b/basic"][1] == ""


def test_a_clip_without_sound_is_partial_and_has_no_step_of_it(tmp_path: Path) -> None:
    write_set(tmp_path, "ir50", network())
    sounds = {clip: {"spectrogram": values(0 if clip == "bob" else 9, 20)} for clip in CLIPS}
    write_set(tmp_path, "spectrogram", sounds)
    corpus = load(tmp_path, settings(fusion={"kind": "fbp"}))
    assert corpus.sequences["audio"].lengths.tolist() == [9, 0, 9]
    assert corpus.states["audio"] == ("ok", "partial", "ok")
    assert corpus.missing["audio"][1] == ("no audio stream",)
    assert [corpus.modalities_of(i) for i in range(3)] == ["audio+video", "video", "audio+video"]


def test_a_grid_of_an_audio_encoder_becomes_steps(tmp_path: Path) -> None:
    write_set(tmp_path, "alexnet", {clip: {"grid": values(n, 3, 7)} for clip, n in STEPS.items()})
    corpus = load(
        tmp_path,
        settings(audio={"set": "alexnet", "encoder": "none"}, fusion={"kind": "audio"}),
    )
    assert corpus.shapes == {"audio": (7,)}
    assert corpus.sequences["audio"].lengths.tolist() == [9, 3, 6]


def test_random_weights_behind_any_set_mark_the_corpus_untrained(tmp_path: Path) -> None:
    write_set(tmp_path, "a", network())
    write_set(tmp_path, "b", network(), untrained=True)
    assert load(tmp_path, settings(video={"set": "a+b"})).untrained


def test_a_clip_that_was_never_extracted_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path, "ir50", network(ada=3))
    with pytest.raises(
        FeaturesError, match=r"2 clips without an entry or .*: bob, cid; run avfuse"
    ):
        load(tmp_path, settings())


def test_a_set_in_which_every_clip_failed_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path, "ir50", dict.fromkeys(CLIPS, "no such codec"))
    with pytest.raises(FeaturesError, match="none of the 3 clips has an entry"):
        load(tmp_path, settings())


def test_a_cache_without_the_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SetError, match="no feature set ir50"):
        load(tmp_path, settings())


def test_features_that_the_set_does_not_offer_are_refused(tmp_path: Path) -> None:
    write_set(tmp_path, "ir50", {clip: {"basic": values(n, 5)} for clip, n in STEPS.items()})
    with pytest.raises(FeaturesError, match=r"offers no features 'mean'.*--views basic"):
        load(tmp_path, settings(video={"features": "mean"}))


def test_embeddings_can_not_pass_through_an_encoder(tmp_path: Path) -> None:
    write_set(tmp_path, "ir50", network())
    with pytest.raises(CorpusError, match=r"needs a spectrogram.*set audio\.encoder=none"):
        load(tmp_path, settings(audio={"set": "ir50"}, fusion={"kind": "audio"}))


def test_statistics_can_not_pass_through_an_encoder_and_the_steps_can(tmp_path: Path) -> None:
    write_set(tmp_path, "logmel", {clip: {"logmel": values(n, 40, 3)} for clip, n in STEPS.items()})
    audio = {"set": "logmel", "features": "statistics", "encoder": "cnn"}
    with pytest.raises(CorpusError, match=r"set audio\.features=auto .* or audio\.encoder=none"):
        load(tmp_path, settings(audio=audio, fusion={"kind": "audio"}))
    chosen = settings(audio={**audio, "features": "auto"}, fusion={"kind": "audio"})
    assert load(tmp_path, chosen).shapes == {"audio": (40, 3)}


@pytest.mark.parametrize(
    ("names", "features"),
    [
        ("ir50", "auto"),
        ("ir50", "norm_fft"),
        ("ir50+vgg", "mean_std"),
        ("logmel", "auto"),
        ("logmel", "statistics"),
        ("alexnet", "auto"),
        ("alexnet", "statistics"),
    ],
)
def test_one_entry_tells_the_shape_that_the_whole_corpus_has(
    tmp_path: Path, names: str, features: str
) -> None:
    write_set(tmp_path, "ir50", network())
    write_set(tmp_path, "vgg", network(dim=7))
    write_set(tmp_path, "logmel", {clip: {"logmel": values(n, 13, 3)} for clip, n in STEPS.items()})
    write_set(tmp_path, "alexnet", {clip: {"grid": values(n, 3, 7)} for clip, n in STEPS.items()})
    corpus = load(tmp_path, settings(video={"set": names, "features": features}))
    peeked = peek_shape(tmp_path, names.split("+"), ["absent", *CLIPS], features)
    assert peeked == corpus.shapes["video"]


def test_a_shape_can_not_be_told_of_sets_that_can_not_be_read(tmp_path: Path) -> None:
    write_set(tmp_path, "ir50", network())
    write_set(tmp_path, "logmel", {clip: {"logmel": values(2, 13, 3)} for clip in CLIPS})
    with pytest.raises(ValueError, match=r"logmel can't be joined: its steps have shape \(13, 3\)"):
        peek_shape(tmp_path, ["ir50", "logmel"], CLIPS, "auto")
    with pytest.raises(FeaturesError, match="none of the 1 clips has an entry"):
        peek_shape(tmp_path, ["ir50"], ["dan"], "auto")


def test_a_label_outside_the_classes_is_refused(tmp_path: Path) -> None:
    write_set(tmp_path, "ir50", network())
    with pytest.raises(CorpusError, match="the label 'sda' is not one of the classes happy, sad"):
        load(tmp_path, settings(), labels={"ada": "sda"}, classes=["happy", "sad"])


def test_packs_can_be_kept_beside_a_cache_that_is_not_to_be_written(tmp_path: Path) -> None:
    write_set(tmp_path / "cache", "ir50", network())
    load(tmp_path / "cache", settings(), packs=tmp_path / "packs")
    assert list((tmp_path / "packs").glob("*.h5"))
    assert not (tmp_path / "cache" / "packs").exists()


def test_clips_are_found_by_their_ids() -> None:
    corpus = toy_corpus()
    assert corpus.indices(["clip07", "clip00"]).tolist() == [7, 0]
    with pytest.raises(CorpusError, match="1 clip not in the corpus: zoe first"):
        corpus.indices(["clip07", "zoe"])


def test_labels_of_another_length_are_refused() -> None:
    corpus = toy_corpus(5)
    with pytest.raises(ValueError, match="4 clips have 5 video"):
        Corpus(corpus.clip_ids[:4], corpus.sequences, (), corpus.labels[:4])
    with pytest.raises(ValueError, match="5 clips have 3 labels"):
        Corpus(corpus.clip_ids, corpus.sequences, (), corpus.labels[:3])


def test_a_clip_is_described_by_what_it_has() -> None:
    corpus = toy_corpus(missing=True)
    assert [corpus.modalities_of(i) for i in range(4)] == ["audio+video", "audio", "video", "none"]
    assert not corpus.has("smell").any()
