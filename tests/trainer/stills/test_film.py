"""Each step that makes a still look like film, alone, against a case worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from cache.settings import SettingsError
from trainer.stills.film import (
    as_film,
    blur,
    compress,
    cover_side,
    reduce,
    relight,
    turn,
)
from trainer.stills.settings import FilmSettings, load_config

SIZE = 24
RAMP = (torch.arange(SIZE) * 10.0).expand(1, 1, SIZE, SIZE)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_by_default_no_image_is_changed() -> None:
    images = RAMP.expand(50, 1, SIZE, SIZE)
    torch.testing.assert_close(as_film(images, FilmSettings(), draws()), images, rtol=0, atol=1e-3)


def test_the_share_of_the_images_is_changed_and_the_others_are_left() -> None:
    images = RAMP.expand(400, 1, SIZE, SIZE)
    result = as_film(images, FilmSettings(share=0.5, step=1), draws())
    changed = (result - images).abs().amax(dim=(1, 2, 3)) > 1
    assert 160 < int(changed.sum()) < 240  # 200 expected, deviation 10
    assert 0 <= float(result.min()) <= float(result.max()) <= 255


def test_the_same_draws_give_the_same_images_and_others_do_not() -> None:
    images = RAMP.expand(4, 1, SIZE, SIZE)
    settings = FilmSettings(share=1, step=1)
    first, again, other = (as_film(images, settings, draws(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_without_reach_every_step_leaves_the_image() -> None:
    still = FilmSettings(
        1, 1, turn=0, cover=0, gamma=1, shade=0, blur=0, motion=0, pixels=SIZE, noise=0, quality=70
    )
    flat = torch.full((3, 3, SIZE, SIZE), 64.0)  # which JPEG keeps as it is
    torch.testing.assert_close(as_film(flat, still, draws()), flat, rtol=0, atol=1.0)


def test_the_side_that_is_turned_away_is_lower() -> None:
    bar = torch.zeros(2, 1, 101, 101)
    bar[:, :, 25:76] = 255.0  # 51 rows
    result = turn(bar, torch.tensor([0.4, -0.4]))
    heights = (result[:, 0] > 127).sum(dim=1)  # (2, columns)
    assert int(heights[0, 90]) < int(heights[0, 50]) < int(heights[0, 10])
    assert int(heights[1, 90]) > int(heights[1, 50]) > int(heights[1, 10])
    assert int(heights[0, 50]) == 51  # the axis stays where it is


@pytest.mark.parametrize(
    ("side", "where"),
    [(0.0, (slice(None), slice(0, 6))), (0.3, (slice(None), slice(18, 24))),
     (0.6, (slice(0, 6), slice(None))), (0.9, (slice(18, 24), slice(None)))],
)  # fmt: skip
def test_a_quarter_is_covered_from_the_side_that_was_drawn(
    side: float, where: tuple[slice, slice]
) -> None:
    result = cover_side(
        torch.zeros(1, 1, SIZE, SIZE), torch.tensor([0.25]), torch.tensor([side]), torch.tensor([1])
    )
    expected = torch.zeros(SIZE, SIZE)
    expected[where] = 255
    assert torch.equal(result[0, 0], expected)


def test_light_is_a_power_and_falls_off_towards_one_side() -> None:
    flat = torch.full((2, 1, SIZE, SIZE), 255 / 4)
    result = relight(
        flat, torch.tensor([2.0, 1.0]), torch.tensor([0.0, 0.8]), torch.tensor([0.0, 0.0])
    )
    torch.testing.assert_close(result[0], torch.full((1, SIZE, SIZE), 255 / 16))
    row = result[1, 0, 0]
    # Along one axis the light goes from 1 - 0.8 (1 - 1/sqrt 2) / 2 to 1 - 0.8 (1 + 1/sqrt 2) / 2,
    # both at pixels' middles.
    reach = (1 - 1 / SIZE) / math.sqrt(2)
    assert float(row[0]) == pytest.approx(255 / 4 * (1 - 0.4 * (1 - reach)), rel=1e-5)
    assert float(row[-1]) == pytest.approx(255 / 4 * (1 - 0.4 * (1 + reach)), rel=1e-5)


def test_a_blur_keeps_what_is_even_and_spreads_a_point_by_its_deviation() -> None:
    point = torch.zeros(1, 1, SIZE, SIZE)
    point[0, 0, 12, 12] = 1.0
    zero = torch.zeros(1)
    result = blur(point, torch.tensor([1.2]), zero, zero)[0, 0]
    assert float(result.sum()) == pytest.approx(1, abs=1e-5)
    place = torch.arange(SIZE) - 12.0
    variance = float((result.sum(dim=0) * place.square()).sum())
    assert variance == pytest.approx(1.2**2, rel=0.02)  # the kernel is cut off at 4
    flat = torch.full((1, 3, 9, 9), 77.0)
    torch.testing.assert_close(blur(flat, torch.tensor([2.0]), zero, zero), flat)


def test_motion_blurs_along_its_direction_alone() -> None:
    point = torch.zeros(1, 1, SIZE, SIZE)
    point[0, 0, 12, 12] = 1.0
    upright = torch.tensor([math.pi / 2])
    result = blur(point, torch.zeros(1), torch.tensor([1.0]), upright)[0, 0]
    assert float(result[:, 12].sum()) == pytest.approx(1, abs=1e-4)
    assert float(result[11, 12]) > 0.2


def test_reducing_to_one_pixel_leaves_the_mean_and_to_its_own_size_the_image() -> None:
    images = RAMP.repeat(2, 1, 1, 1)
    result = reduce(images, torch.tensor([1, SIZE]))
    torch.testing.assert_close(result[0], RAMP.mean().expand(1, SIZE, SIZE))
    assert torch.equal(result[1], images[1])


def test_jpeg_of_low_quality_loses_more_and_keeps_the_shape() -> None:
    image = torch.rand(1, 32, 32, generator=draws()) * 255
    coarse, fine = (compress(image, quality) for quality in (5, 95))
    assert (coarse - image).abs().mean() > 4 * (fine - image).abs().mean()
    assert compress(image.expand(3, 32, 32), 50).shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("setting", "message"),
    [("share=1.5", "share must be between 0 and 1"), ("gamma=0.5", "gamma must be at least 1"),
     ("turn=1", "turn"), ("quality=90", "quality must be from 1 to 70")],
)  # fmt: skip
def test_a_range_that_makes_no_sense_is_refused(setting: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_config(overrides=[f"augment.film.{setting}"])


def test_a_kinder_film_changes_less() -> None:
    images = RAMP.expand(64, 1, SIZE, SIZE)
    hard = FilmSettings(share=1, step=1)
    kind = replace(hard, gamma=1.1, shade=0.1, cover=0.02, noise=0.005)
    errors = [(as_film(images, s, draws()) - images).abs().mean() for s in (hard, kind)]
    assert errors[1] < errors[0] / 2
