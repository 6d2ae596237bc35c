from __future__ import annotations

import numpy as np
import pytest

from pipeline.media.channels import Mix, choose_mix

SURROUND = ("FL", "FR", "FC", "LFE", "BL", "BR")
VOICE, MUSIC, HISS = np.random.default_rng(0).normal(0, 1, (3, 10_000))
NOTHING = np.zeros(10_000)
INVERTED = "channels: they cancel each other in an average; one is kept"


def mix(names: tuple[str, ...], *channels: np.ndarray) -> tuple[np.ndarray, str]:
    """What is kept of channels, and the note."""
    values = np.stack(channels)
    chosen = choose_mix("a layout", names, values @ values.T)
    return chosen.apply(values), chosen.note


def level(values: np.ndarray) -> float:
    """Decibels of the voice's level."""
    return 10 * float(np.log10((values**2).mean() / (VOICE**2).mean()))


STEREO = ("FL", "FR")


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (VOICE, VOICE),
        (VOICE, MUSIC),
        (VOICE + MUSIC, VOICE - MUSIC),
        (VOICE, 0.1 * VOICE),
        (VOICE, 0.1 * HISS),
        (VOICE, HISS - 0.3 * VOICE),
        (NOTHING, NOTHING),
    ],
)
def test_ordinary_stereo_is_the_plain_mean(left: np.ndarray, right: np.ndarray) -> None:
    values = np.stack([left, right])
    chosen = choose_mix("stereo", STEREO, values @ values.T)
    assert chosen == Mix()
    assert np.array_equal(chosen.apply(values), values.mean(axis=0))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (VOICE, -VOICE),
        (VOICE, -0.9 * VOICE + 0.1 * HISS),
        (VOICE, -0.6 * VOICE),
        (VOICE + 0.2 * MUSIC, -VOICE + 0.2 * MUSIC),
    ],
)
def test_of_channels_that_cancel_one_is_kept(left: np.ndarray, right: np.ndarray) -> None:
    kept, note = mix(STEREO, left, right)
    assert np.array_equal(kept, left)
    assert note == INVERTED


def test_the_louder_of_channels_that_cancel_is_kept() -> None:
    assert np.array_equal(mix(STEREO, -0.6 * VOICE, VOICE)[0], VOICE)


@pytest.mark.parametrize("names", [STEREO, ("NONE", "NONE")])
def test_of_a_dead_channel_and_a_live_one_the_live_one_is_kept(names: tuple[str, ...]) -> None:
    for channels in ((VOICE, 0.005 * HISS), (NOTHING, VOICE)):
        kept, note = mix(names, *channels)
        assert level(kept) == pytest.approx(0, abs=0.01)
        assert note == "channels: one of two is silent; the other is kept"


def test_the_centre_of_a_film_is_kept_without_its_music() -> None:
    kept, note = mix(SURROUND, 2 * MUSIC, 2 * MUSIC, VOICE, 9 * HISS, MUSIC, MUSIC)
    assert np.array_equal(kept, VOICE)
    assert note == "channels: the centre of a layout is kept"


def test_without_sound_in_the_centre_the_others_count_by_their_place() -> None:
    kept, note = mix(SURROUND, VOICE, VOICE, NOTHING, 9 * HISS, MUSIC, MUSIC)
    side = 0.5**0.5
    wanted = (2 * VOICE + side * 2 * MUSIC) / (2 + 2 * side)
    assert kept == pytest.approx(wanted)
    assert "averaged" in note


def test_the_bass_channel_is_never_heard() -> None:
    kept, _ = mix(("FL", "FR", "LFE"), VOICE, VOICE, 9 * HISS)
    assert kept == pytest.approx(VOICE)


def test_inverted_fronts_of_a_film_do_not_cancel() -> None:
    channels = (VOICE, -VOICE, NOTHING, NOTHING, NOTHING, NOTHING)
    assert np.array_equal(mix(SURROUND, *channels)[0], VOICE)


def test_microphones_without_a_place_count_alike_and_dead_ones_nothing() -> None:
    names = ("NONE",) * 3
    assert np.array_equal(mix(names, VOICE, MUSIC, HISS)[0], (VOICE + MUSIC + HISS) / 3)
    kept, note = mix(names, VOICE, NOTHING, VOICE)
    assert kept == pytest.approx(VOICE)
    assert note == "channels: silent ones are left out of the average"


def test_numbers_beyond_all_bounds_come_to_the_plain_mean() -> None:
    assert choose_mix("stereo", STEREO, np.full((2, 2), np.inf)) == Mix()


def test_another_number_of_channels_than_was_chosen_for_is_averaged() -> None:
    assert np.array_equal(Mix((1.0, 0.0)).apply(np.stack([VOICE])), VOICE)
