"""Each way of varying an image, alone, against a case worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from trainer.stills.augment import (
    ERASE_AREA,
    luma,
    mix,
    rectangles,
    resize,
    symmetric,
    to_float,
    vary,
    warp,
)
from trainer.stills.settings import ImageAugmentSettings

STILL = ImageAugmentSettings(
    flip=False, rotation_degrees=0, scale=1, shift=0, brightness=0, contrast=1, erase=0
)
RAMP = torch.arange(25.0).view(1, 1, 5, 5) * 7


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_settings_that_vary_nothing_return_the_image() -> None:
    torch.testing.assert_close(vary(RAMP, 5, STILL, draws()), RAMP, rtol=0, atol=1e-4)


def test_a_flip_mirrors_about_half_of_the_images_left_to_right_and_no_other_way() -> None:
    images = RAMP.expand(200, 1, 5, 5)
    result = vary(images, 5, replace(STILL, flip=True), draws())
    same = (result - RAMP).abs().amax(dim=(1, 2, 3)) < 1e-3
    mirrored = (result - RAMP.flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-3
    assert bool((same ^ mirrored).all())
    assert 70 < int(mirrored.sum()) < 130  # 100 expected, deviation 7


def test_a_quarter_turn_moves_each_corner_to_the_next() -> None:
    # x' = -y, y' = x: what stands at the right comes to stand at the top.
    quarter = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]])
    torch.testing.assert_close(
        warp(RAMP, quarter, 5), torch.rot90(RAMP, 1, (2, 3)), rtol=0, atol=1e-3
    )


def test_rotation_stays_in_its_range_and_turns_both_ways() -> None:
    # A white half-plane below the middle row: its edge's slope is the tangent of the angle.
    size = 101
    image = torch.zeros(1, 1, size, size)
    image[:, :, size // 2 :] = 255.0
    result = vary(image.expand(40, -1, -1, -1), size, replace(STILL, rotation_degrees=12), draws())
    left, right = result[:, 0, :, 30].sum(1) / 255, result[:, 0, :, 70].sum(1) / 255
    angles = torch.rad2deg(torch.atan((right - left) / 40))
    assert 8 < float(angles.abs().max()) <= 12.2
    assert float(angles.min()) < -4
    assert float(angles.max()) > 4


def test_scale_draws_between_its_inverse_and_itself() -> None:
    # A white square of 40 of 100 pixels grows by the factor: its area by the square.
    image = torch.zeros(1, 1, 100, 100)
    image[:, :, 30:70, 30:70] = 255.0
    result = vary(image.expand(60, -1, -1, -1), 100, replace(STILL, scale=1.2), draws())
    factors = (result.sum(dim=(1, 2, 3)) / 255 / 1600).sqrt()
    assert 1 / 1.2 - 0.01 < float(factors.min()) < 0.88
    assert 1.12 < float(factors.max()) < 1.2 + 0.01


def test_shift_moves_by_at_most_its_share_of_the_image() -> None:
    image = torch.zeros(1, 1, 100, 100)
    image[:, :, 45:55, 45:55] = 255.0
    result = vary(image.expand(60, -1, -1, -1), 100, replace(STILL, shift=0.08), draws())
    mass = result.sum(dim=(1, 2, 3))
    places = torch.arange(100.0) - 49.5
    x = (result.sum(dim=(1, 2)) * places).sum(1) / mass
    y = (result.sum(dim=(1, 3)) * places).sum(1) / mass
    for moved in (x, y):
        assert 6.5 < float(moved.abs().max()) <= 8.01
        assert float(moved.min()) < -3
        assert float(moved.max()) > 3
    assert abs(float(torch.corrcoef(torch.stack([x, y]))[0, 1])) < 0.4


def test_brightness_adds_one_level_to_a_whole_image() -> None:
    image = torch.full((60, 1, 3, 3), 100.0)
    result = vary(image, 3, replace(STILL, brightness=0.15), draws())
    added = result.mean(dim=(1, 2, 3)) - 100
    assert 30 < float(added.abs().max()) <= 0.15 * 255 + 1e-3
    assert bool((result.std(dim=(1, 2, 3)) < 1e-3).all())


def test_contrast_stretches_about_the_mean_and_keeps_it() -> None:
    image = torch.tensor([100.0, 140.0]).repeat(2, 1).view(1, 1, 2, 2).expand(60, 1, 2, 2)
    result = vary(image, 2, replace(STILL, contrast=1.3), draws())
    torch.testing.assert_close(result.mean(dim=(1, 2, 3)), torch.full((60,), 120.0))
    factors = (result[:, 0, 0, 1] - result[:, 0, 0, 0]) / 40
    assert 1 / 1.3 - 1e-4 < float(factors.min()) < 0.85
    assert 1.2 < float(factors.max()) < 1.3 + 1e-4


def test_levels_stay_between_0_and_255() -> None:
    image = torch.tensor([0.0, 255.0]).repeat(2, 1).view(1, 1, 2, 2).expand(50, 1, 2, 2)
    result = vary(image, 2, replace(STILL, contrast=3.0, brightness=0.5), draws())
    assert float(result.min()) == 0
    assert float(result.max()) == 255


def test_erasing_covers_one_rectangle_of_2_to_20_percent_in_its_share_of_the_images() -> None:
    covered = rectangles(400, 40, 0.25, draws())
    counts = covered.sum(dim=(1, 2))
    chosen = counts > 0
    assert 70 < int(chosen.sum()) < 130  # 100 expected, deviation 9
    # One that reaches over the edge covers less; none covers more.
    assert float(counts.max()) <= (math.sqrt(ERASE_AREA[1]) * 40 + 1) ** 2 * 1.5
    for one in covered[chosen]:
        rows, columns = one.any(1), one.any(0)
        assert torch.equal(one, rows[:, None] & columns[None])
        for line in (rows, columns):
            assert int(line.int().diff().abs().sum()) <= 2


def test_what_is_erased_gets_the_images_mean() -> None:
    image = torch.cat([torch.full((1, 1, 20, 20), 30.0), torch.full((1, 1, 20, 20), 90.0)], dim=3)
    images = torch.nn.functional.interpolate(image, (20, 20)).expand(30, 1, 20, 20)
    result = vary(images, 20, replace(STILL, erase=1.0), draws())
    levels = {30.0, 60.0, 90.0}
    assert {round(float(v), 3) for v in result.unique()} == levels


def test_nothing_is_erased_at_probability_0_and_every_image_at_1() -> None:
    assert not bool(rectangles(50, 10, 0.0, draws()).any())
    # A middle at the corner with little area may fall between pixels: nearly every one.
    assert int(rectangles(50, 40, 1.0, draws()).any(dim=2).any(dim=1).sum()) >= 48


def test_mixup_mixes_image_and_target_by_one_share_that_favours_the_image() -> None:
    images = torch.arange(7.0).view(7, 1, 1, 1).expand(7, 1, 2, 2) * 10
    targets = torch.eye(7)
    mixed, soft = mix(images, targets, 0.4, draws())
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(7))
    assert bool((soft.diagonal() >= 0.5 - 1e-6).all())
    # The mean of the levels under the target is the mixed level: the shares are the same.
    expected = (soft * torch.arange(7.0) * 10).sum(dim=1)
    torch.testing.assert_close(mixed[:, 0, 0, 0], expected)
    assert bool((soft.diagonal() < 0.999).any())


def test_grey_is_the_luma_of_bt_601() -> None:
    red_green_blue = torch.tensor([[[[255, 0, 0], [0, 255, 0], [0, 0, 255]]]], dtype=torch.uint8)
    assert to_float(red_green_blue, grey=True).flatten().tolist() == pytest.approx(
        [76.245, 149.685, 29.07]
    )
    colours = to_float(red_green_blue, grey=False)
    assert colours.shape == (1, 3, 1, 3)
    assert colours[0, :, 0, 0].tolist() == [255, 0, 0]
    torch.testing.assert_close(luma(torch.full((1, 3, 2, 2), 9.0)), torch.full((1, 1, 2, 2), 9.0))


def test_grey_images_get_one_channel_either_way() -> None:
    images = torch.zeros(2, 3, 3, dtype=torch.uint8)
    assert to_float(images, grey=False).shape == to_float(images, grey=True).shape == (2, 1, 3, 3)


def test_shrinking_takes_the_mean_and_does_not_alias() -> None:
    stripes = torch.tensor([0.0, 255.0]).repeat(1, 1, 32, 16)
    assert float((resize(stripes, 4) - 127.5).abs().max()) < 40
    assert resize(stripes, 32) is stripes


def test_the_same_generator_gives_the_same_images_and_another_does_not() -> None:
    images = RAMP.expand(3, 1, 5, 5)
    first = vary(images, 5, ImageAugmentSettings(), draws(3))
    assert torch.equal(first, vary(images, 5, ImageAugmentSettings(), draws(3)))
    assert not torch.equal(first, vary(images, 5, ImageAugmentSettings(), draws(4)))


def test_an_image_can_be_enlarged_as_it_is_varied() -> None:
    assert vary(RAMP, 11, ImageAugmentSettings(), draws()).shape == (1, 1, 11, 11)


def test_draws_are_even_between_the_limits() -> None:
    values = symmetric(4000, 3.0, draws())
    assert float(values.min()) >= -3
    assert float(values.max()) <= 3
    assert abs(float(values.mean())) < 0.15
    assert abs(float(values.std()) - math.sqrt(3)) < 0.1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("rotation_degrees", -1, "rotation_degrees must be at least 0, got -1"),
        ("shift", -0.1, "shift must be at least 0"),
        ("scale", 0.9, "scale must be at least 1, got 0.9"),
        ("contrast", 0.5, "contrast must be at least 1"),
        ("erase", 1.5, "erase must be between 0 and 1, got 1.5"),
        ("mixup", -1, "mixup must be at least 0"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageAugmentSettings(**{name: value})
