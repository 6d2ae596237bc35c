from __future__ import annotations

import av
import numpy as np
import pytest

from pipeline.media.channels import Mix, read_channels
from pipeline.media.sound import BLOCK_SAMPLES, SoundLine


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
