"""What is read of a set comes from one state of its entries, whatever others write meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.packs import pack
from tests.trainer.corpus_helper import values, write_set
from trainer.data.corpus import Corpus, load_corpus
from trainer.data.features import read_features
from trainer.settings import TrainSettings, load_settings

CLIPS = ("ada", "bob", "cid")
OLD, NEW = (3, 1, 2), (1, 3, 2)  # as many steps in all: a mixture has no wrong shape
# A clip's mean and deviation are its number and its length, so that each row says whose it is.
WRITE = """
import sys
from pathlib import Path
from tests.trainer.data.test_one_state import NEW, write
write(Path(sys.argv[1]), NEW)
"""


def write(cache: Path, lengths: tuple[int, ...]) -> None:
    network = {
        clip: {
            "mean": np.full((steps, 5), number, np.float32),
            "std": np.full((steps, 5), 10 * number + steps, np.float32),
        }
        for number, (clip, steps) in enumerate(zip(CLIPS, lengths, strict=True))
    }
    write_set(cache, "ir50", network)


def settings() -> TrainSettings:
    return load_settings("icmi19", ["fusion.kind=video", "video.features=mean_std"])


def replace_after_the_first_pack(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let another process write every entry anew once the first pack is built."""
    real: Callable[..., None] = pack.build_pack

    def meddle(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        monkeypatch.undo()
        subprocess.run([sys.executable, "-c", WRITE, str(cache)], check=True)

    monkeypatch.setattr(pack, "build_pack", meddle)


def expect_new(values: np.ndarray, offsets: np.ndarray) -> None:
    assert np.diff(offsets).tolist() == list(NEW)
    for number, steps in enumerate(NEW):
        rows = values[offsets[number] : offsets[number + 1]]
        assert (rows[:, :5] == number).all()
        assert (rows[:, 5:] == 10 * number + steps).all()


@pytest.mark.slow
def test_mean_and_deviation_are_never_of_different_states_of_an_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, OLD)
    replace_after_the_first_pack(tmp_path, monkeypatch)
    steps = load_corpus(tmp_path, CLIPS, settings()).sequences["video"]
    expect_new(steps.values, steps.offsets)


@pytest.mark.slow
def test_features_read_without_a_corpus_are_of_one_state_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, OLD)
    replace_after_the_first_pack(tmp_path, monkeypatch)
    steps = read_features(tmp_path, ["ir50"], CLIPS, "mean_std").sequences
    expect_new(steps.values, steps.offsets)


def test_a_cache_that_never_rests_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, OLD)
    real = pack.build_pack
    states = [OLD, NEW] * 2

    def meddle(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        write(tmp_path, states.pop())

    monkeypatch.setattr(pack, "build_pack", meddle)
    with pytest.raises(pack.PackError, match=f"the entries of {tmp_path} changed 3 times"):
        load_corpus(tmp_path, CLIPS, settings())


def test_entries_of_two_modalities_are_of_one_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def extract(seed: int) -> None:
        write_set(tmp_path, "ir50", {c: {"basic": values(2, 5, seed=seed)} for c in CLIPS})
        write_set(tmp_path, "voice", {c: {"spectrogram": values(3, 7, seed=seed)} for c in CLIPS})

    extract(1)
    real = pack.build_pack

    def meddle(*arguments: Any, **options: Any) -> None:
        real(*arguments, **options)
        monkeypatch.undo()
        extract(2)

    monkeypatch.setattr(pack, "build_pack", meddle)
    chosen = load_settings("icmi19", ["audio.set=voice", "audio.encoder=none"])
    corpus: Corpus = load_corpus(tmp_path, CLIPS, chosen)
    np.testing.assert_array_equal(corpus.sequences["audio"].of(0), values(3, 7, seed=2))
    np.testing.assert_array_equal(corpus.sequences["video"].of(0), values(2, 5, seed=2))
