"""Voices laid along the sentences that they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from extractors.sound.steps import VOICE_STEPS
from tests.trainer.voice_helper import say
from trainer.data.sentences import (
    CONTOUR,
    LOUDNESS,
    MARGIN,
    NUM_NUMBERS,
    NUM_PLACES,
    PITCH,
    SentenceError,
    Speech,
    describe_places,
    find_words,
    make_contour,
    prepare_steps,
)
from trainer.data.sequences import Sequences

NUM_CEPSTRA = 14


def make_speech(takes: list[np.ndarray], sentences: list[str | None]) -> Speech:
    offsets = np.cumsum([0, *map(len, takes)])
    times = np.concatenate([np.arange(len(take)) / 100 for take in takes])
    steps = Sequences(np.concatenate(takes), times, offsets)
    ids = tuple(f"clip-{number}" for number in range(len(takes)))
    return Speech(ids, steps, tuple(sentences))


def make_corpus() -> tuple[Speech, np.ndarray]:
    """Ten takes of two sentences, in turn, and their labels: each in two classes."""
    takes = [say(number % 2, seed=number) for number in range(10)]
    return make_speech(takes, ["dogs", "kids"] * 5), np.array([0, 0, 1, 1] * 2 + [0, 1])


def test_a_tested_clip_is_laid_along_the_sentence_that_it_says_whatever_the_manifest_says() -> None:
    speech, labels = make_corpus()
    train = np.arange(8)
    laid = speech.lay_along(speech.fit(train, labels))
    lied = replace(speech, sentences=(*speech.sentences[:8], "kids", None))
    assert np.array_equal(lied.lay_along(lied.fit(train, labels)).values, laid.values)
    # The first two takes of a sentence are nearer to each other than to the other sentence's.
    first, other, same = laid.values[8], laid.values[9], laid.values[0]
    assert np.linalg.norm(first - same) < 0.5 * np.linalg.norm(first - other)


def test_templates_are_made_of_the_training_clips_alone() -> None:
    speech, labels = make_corpus()
    fitted = speech.fit(np.arange(8), labels)
    takes = [speech.steps.of(number) for number in range(8)]
    others = make_speech([*takes, say(5, 20), say(6, 21)], [*speech.sentences[:8], "dogs", "kids"])
    again = others.fit(np.arange(8), np.array([*labels[:8], 1, 1]))
    assert fitted.sentences == again.sentences == ("dogs", "kids")
    for one, two in zip(fitted.steps, again.steps, strict=True):
        assert np.array_equal(one, two)
    assert not np.array_equal(speech.fit(np.arange(2, 10), labels).steps[0], fitted.steps[0])


def test_what_was_fitted_or_laid_before_is_what_would_be_now() -> None:
    speech, labels = make_corpus()
    early, late = np.arange(8), np.arange(2, 10)
    templates = speech.fit(early, labels)
    assert speech.fit(early.copy(), labels) is templates
    laid = speech.lay_along(templates)
    other = speech.lay_along(speech.fit(late, labels))
    assert not np.array_equal(laid.values, other.values)
    assert np.array_equal(speech.lay_along(templates).values, laid.values)


def test_a_clip_without_sound_has_no_step_and_a_short_one_has_finite_numbers() -> None:
    speech, labels = make_corpus()
    takes = [speech.steps.of(number) for number in range(8)]
    takes += [np.zeros((0, len(VOICE_STEPS)), np.float32), say(0, 3)[60:61]]
    laid = make_speech(takes, list(speech.sentences)).lay_along(speech.fit(np.arange(8), labels))
    assert laid.lengths.tolist() == [1] * 8 + [0, 1]
    assert laid.shape == (NUM_NUMBERS,)
    assert np.isfinite(laid.values).all()
    assert laid.times[0] == pytest.approx((len(takes[0]) - 1) / 200)


def test_sentences_that_nobody_names_that_tell_the_class_or_are_too_many_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    speech, labels = make_corpus()
    train = np.arange(8)
    unnamed = replace(speech, sentences=(None,) * 10)
    with pytest.raises(SentenceError, match=r"none of the 8 training clips .* sentence"):
        unnamed.fit(train, labels)
    with pytest.raises(SentenceError, match=r"2 sentences of 2 said with one class only.*dogs"):
        speech.fit(train, np.array([0, 1] * 5))
    monkeypatch.setattr("trainer.data.sentences.MOST_SENTENCES", 1)
    with pytest.raises(SentenceError, match="have 2 sentences, at most 1 are aligned"):
        speech.fit(train, labels)


def test_a_clip_that_lasts_longer_than_a_sentence_is_refused_by_name() -> None:
    speech, labels = make_corpus()
    takes = [speech.steps.of(number) for number in range(10)]
    takes[9] = np.repeat(takes[9], 50, axis=0)
    long = make_speech(takes, list(speech.sentences))
    templates = long.fit(np.arange(8), labels)
    with pytest.raises(SentenceError, match=r"clip clip-9 has \d+ s of speech, expected .* 60 s"):
        long.lay_along(templates)


def test_steps_that_are_no_voices_are_refused() -> None:
    steps = Sequences(np.zeros((3, 5), np.float32), np.arange(3.0), np.array([0, 3]))
    with pytest.raises(SentenceError, match=r"got steps of shape \(5,\); set audio.set=voice"):
        Speech(("a",), steps, (None,))


def test_words_are_found_between_silences_with_a_margin() -> None:
    level = np.full(200, -80.0)
    level[60:150] = -30.0
    level[70:75] = -75.0  # a pause
    # A mean over five steps reaches two further than the loud steps.
    assert find_words(level) == slice(60 - 2 - MARGIN, 150 + 2 + MARGIN)
    assert find_words(np.full(3, -100.0)) == slice(0, 3)


def test_what_is_aligned_is_every_20_ms_and_free_of_how_loud_a_take_is() -> None:
    rng = np.random.default_rng(0)
    cepstra = 3 * rng.normal(size=(23, NUM_CEPSTRA))
    steps = prepare_steps(cepstra)
    assert steps.shape == (11, 2 * NUM_CEPSTRA)
    assert prepare_steps(cepstra + 7.0) == pytest.approx(steps, abs=1e-5)
    assert prepare_steps(cepstra[:1]).shape == (2, 2 * NUM_CEPSTRA)


def test_the_pitch_of_unvoiced_steps_lies_between_that_of_voiced_ones() -> None:
    spoken = {name: np.zeros(5) for name in VOICE_STEPS}
    spoken["pitch_hz"] = np.array([0.0, 100.0, 0.0, 0.0, 200.0])
    spoken["pitch_semitones"] = np.array([0.0, 22.0, 0.0, 0.0, 34.0])
    spoken["loudness"] = np.array([0.0, 1.0, 0.0, 0.0, 0.0])
    contour = make_contour(spoken)
    assert contour[:, PITCH].tolist() == [22.0, 22.0, 26.0, 30.0, 34.0]
    assert contour[:, CONTOUR.index("voiced")].tolist() == [0.0, 1.0, 0.0, 0.0, 1.0]
    assert contour[:2, LOUDNESS] == pytest.approx(np.log([0.001, 1.001]))
    spoken["pitch_hz"] = np.zeros(5)
    assert make_contour(spoken)[:, PITCH].tolist() == spoken["pitch_semitones"].tolist()


def test_places_are_described_by_means_over_the_parts_of_the_template() -> None:
    places = np.repeat(np.arange(NUM_PLACES), 3)  # three steps of 20 ms in each part
    contour = np.zeros((2 * len(places), len(CONTOUR)), np.float32)
    contour[:, PITCH] = np.repeat(places, 2)
    contour[1::2, LOUDNESS] = 2.0
    found = describe_places(contour, places, NUM_PLACES)
    means = found[: NUM_PLACES * len(CONTOUR)].reshape(NUM_PLACES, len(CONTOUR))
    assert means[:, PITCH] == pytest.approx(np.arange(NUM_PLACES))
    assert means[:, LOUDNESS] == pytest.approx(1.0)
    durations, pitch, loudness = np.split(found[NUM_PLACES * len(CONTOUR) :], 3)
    assert durations == pytest.approx(np.log(8.0))
    assert pitch == pytest.approx(np.arange(NUM_PLACES) - (NUM_PLACES - 1) / 2)
    assert loudness == pytest.approx(0.0)


def test_a_part_that_is_leapt_over_has_the_means_of_the_one_before() -> None:
    places = np.delete(np.arange(NUM_PLACES), 7)
    contour = np.repeat(places, 2)[:, None] * np.ones(len(CONTOUR))
    found = describe_places(contour, places, NUM_PLACES)
    means = found[: NUM_PLACES * len(CONTOUR)].reshape(NUM_PLACES, len(CONTOUR))
    assert means[[6, 7, 8], 0].tolist() == [6.0, 6.0, 8.0]
    assert found[NUM_PLACES * len(CONTOUR) + 7] == pytest.approx(np.log(2.0))
