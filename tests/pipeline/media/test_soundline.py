from __future__ import annotations

import av
import numpy as np
import pytest

from pipeline.media.channels import Mix, read_channels
from pipeline.media.soundline import BLOCK_SAMPLES, SoundLine


def lay(
    *pieces: tuple[float | None, int, np.ndarray], longest_gap: float = 60.0
) -> tuple[np.ndarray, int, list[str]]:
    """Samples, position of the first, and problems of pieces laid one after the other."""
    line = SoundLine(longest_gap)
    out = [found for piece in pieces for found in line.add(*piece)] + list(line.flush())
    positions = [position for position, _ in out]
    ends = [position + len(samples) for position, samples in out]
    assert positions[1:] == ends[:-1]  # without a gap
    return np.concatenate([samples for _, samples in out]), positions[0], line.problems


def level(value: float, seconds: float, rate: int = 16_000) -> np.ndarray:
    return np.full(round(seconds * rate), value, np.float32)


def test_pieces_that_follow_each_other_are_joined() -> None:
    samples, first, problems = lay((0.25, 16_000, level(0.2, 0.5)), (0.75, 16_000, level(0.4, 0.5)))
    assert first == 4_000
    assert np.array_equal(samples, np.concatenate([level(0.2, 0.5), level(0.4, 0.5)]))
    assert problems == []


def test_small_steps_of_the_clock_are_jitter() -> None:
    samples, _, problems = lay((0.0, 16_000, level(0.2, 0.5)), (0.59, 16_000, level(0.4, 0.5)))
    assert len(samples) == 16_000
    assert problems == []


def test_lost_sound_becomes_silence_of_its_length() -> None:
    samples, _, problems = lay((0.0, 16_000, level(0.2, 0.5)), (1.5, 16_000, level(0.4, 0.5)))
    assert len(samples) == 32_000
    assert not samples[8_000:24_000].any()
    assert samples[24_000] == pytest.approx(0.4)
    assert problems == ["1.00 s of sound are missing at 0.50 s: silence"]


def test_long_silence_comes_in_bounded_pieces() -> None:
    line = SoundLine(100.0)
    list(line.add(0.0, 16_000, level(0.2, 0.1)))
    last = [*line.add(60.0, 16_000, level(0.2, 0.1)), *line.flush()]
    pieces = [samples for _, samples in last]
    assert max(len(piece) for piece in pieces) <= BLOCK_SAMPLES
    assert sum(len(piece) for piece in pieces) == pytest.approx(60 * 16_000, abs=2_000)


def test_a_stamp_too_far_ahead_is_damaged_and_ignored() -> None:
    samples, _, problems = lay(
        (0.0, 16_000, level(0.2, 0.5)), (1e9, 16_000, level(0.4, 0.5)), longest_gap=60.0
    )
    assert len(samples) == 16_000
    assert "the clock of the sound jumps by" in problems[0]


def test_a_clock_that_starts_again_goes_on() -> None:
    samples, _, problems = lay(
        (7.0, 16_000, level(0.2, 0.5)),
        (0.0, 16_000, level(0.3, 0.5)),
        (0.5, 16_000, level(0.4, 0.5)),
    )
    assert len(samples) == 24_000
    assert problems == ["the clock of the sound jumps by -7.50 s at 7.50 s"]


def test_a_change_of_rate_changes_no_time() -> None:
    samples, _, problems = lay(
        (0.0, 48_000, level(0.2, 0.5, 48_000)), (0.5, 8_000, level(0.4, 0.5, 8_000))
    )
    assert len(samples) == pytest.approx(16_000, abs=4)
    assert samples[4_000] == pytest.approx(0.2, abs=1e-3)
    assert samples[12_000] == pytest.approx(0.4, abs=1e-3)
    assert problems == []


def test_pieces_without_a_time_follow_the_one_before() -> None:
    samples, first, _ = lay((None, 16_000, level(0.2, 0.5)), (None, 16_000, level(0.4, 0.5)))
    assert (first, len(samples)) == (0, 16_000)


@pytest.mark.parametrize(
    ("kind", "layout"), [("s16", "stereo"), ("s16p", "stereo"), ("dbl", "5.1")]
)
def test_packed_and_planar_channels_are_averaged_alike(kind: str, layout: str) -> None:
    channels = av.AudioLayout(layout).nb_channels
    scale = 1 if kind == "dbl" else 2**15
    values = np.arange(channels * 3).reshape(channels, 3) / 64
    samples = values * scale
    data = samples if kind.endswith("p") else samples.T.reshape(1, -1)
    dtype = np.float64 if kind == "dbl" else np.int16
    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(data.astype(dtype)), format=kind, layout=layout
    )
    assert Mix().apply(read_channels(frame)) == pytest.approx(values.mean(0))


def stamped(*stamps: float, length: float = 0.02) -> list[tuple[float | None, int, np.ndarray]]:
    """Pieces of a fiftieth of a second, each at the level 0.1, 0.2 ... of its number modulo 7."""
    return [
        (stamp, 16_000, level(0.1 * (1 + number % 7), length))
        for number, stamp in enumerate(stamps)
    ]


@pytest.mark.parametrize("step", [0.057, 0.02, 0.0075])
def test_a_step_that_lasts_moves_the_sound_with_its_stamps(step: float) -> None:
    line = SoundLine(60.0)
    pieces = stamped(0.0, *(0.02 * number + step for number in range(1, 100)))
    out = [found for piece in pieces for found in line.add(*piece)] + list(line.flush())
    samples = np.concatenate([samples for _, samples in out])
    silence = round(step * 16_000)
    assert samples[:320] == pytest.approx(0.1)
    assert not samples[320 : 320 + silence].any()
    assert samples[320 + silence :][:320] == pytest.approx(0.2)
    assert len(samples) == 32_000 + silence
    assert line.problems == []
    assert [note.partition(":")[0] for note in line.notes] == ["sound step"]


def test_a_step_back_that_lasts_leaves_out_what_lies_twice() -> None:
    stamps = [0.02 * number - 0.05 * (number >= 10) for number in range(100)]
    samples, first, problems = lay(*stamped(*stamps))
    assert (first, len(samples)) == (0, 32_000 - 800)
    assert samples[3_199] == pytest.approx(0.3)  # the tenth piece, number 9
    # Pieces 10 and 11 and half of 12 claim what was there: half of number 12, 0.6, is next.
    assert samples[3_200:3_360] == pytest.approx(0.6)
    assert samples[3_360] == pytest.approx(0.7)
    assert problems == []


def test_a_stamp_that_is_wrong_alone_moves_nothing() -> None:
    stamps = [0.02 * number + 0.4 * (number == 30) for number in range(100)]
    samples, _, problems = lay(*stamped(*stamps))
    assert len(samples) == 32_000
    assert samples.all()
    assert problems == []


def test_stamps_like_a_saw_move_nothing() -> None:
    # As files of a known corpus have them: 0.22 ms too dense, and 19 ms ahead every 85 pieces.
    stamps = [0.02 * n - 0.00022 * n + 0.019 * (n // 85) for n in range(500)]
    samples, _, problems = lay(*stamped(*stamps))
    assert len(samples) == 160_000
    assert samples.all()
    assert problems == []


def test_lost_sound_is_believed_when_the_stamps_behind_it_agree() -> None:
    stamps = [0.02 * number + 0.25 * (number >= 50) for number in range(150)]
    samples, _, problems = lay(*stamped(*stamps))
    assert len(samples) == 48_000 + 4_000
    assert not samples[16_000:20_000].any()
    assert problems == ["0.25 s of sound are missing at 1.00 s: silence"]


def test_sound_that_lies_twice_for_long_is_a_problem() -> None:
    stamps = [0.02 * number - 0.3 * (number >= 50) for number in range(150)]
    samples, _, problems = lay(*stamped(*stamps))
    assert len(samples) == 48_000 - 4_800
    assert problems == ["0.30 s of sound lie twice at 1.00 s: left out"]


def test_held_sound_counts_to_the_end() -> None:
    line = SoundLine(60.0)
    assert line.end is None
    list(line.add(0.5, 16_000, level(0.2, 0.5)))
    list(line.add(1.05, 16_000, level(0.2, 0.25)))  # held: nothing tells yet whether it lasts
    assert line.end == pytest.approx(1.25)
