from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from skimage.data import astronaut
from torch.nn import functional as F

from extractors.views import (
    VIEW_SETS,
    View,
    ViewSettings,
    make_views,
    resize_crops,
    view_matrices,
    view_statistics,
)

# cv2 rounds positions to 1/32 pixel in some versions; a photograph's edges make that 1 grey level.
CV2_TOLERANCE = 1.0
BORDERS = {
    "reflect": cv2.BORDER_REFLECT,
    "edge": cv2.BORDER_REPLICATE,
    "zeros": cv2.BORDER_CONSTANT,
}


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """A real face, 112x112, smoothed as aligned crops are by their own interpolation."""
    crop = astronaut()[0:224, 112:336]
    return cv2.resize(crop, (112, 112), interpolation=cv2.INTER_AREA)


def inner(image: np.ndarray) -> np.ndarray:
    return image[24:-24, 24:-24]


def test_the_default_set_is_eighteen_views_with_the_crop_itself_first() -> None:
    views = VIEW_SETS["default"].views
    assert len(views) == len(set(views)) == 18
    assert views[0] == View(0.0, 1.0, False)
    assert {view.rotation for view in views} == {-2.0, 0.0, 2.0}
    assert {view.scale for view in views} == {1.0, 1.03, 1.07}
    assert sum(view.flip for view in views) == 9


def test_the_wide_and_the_basic_set_are_the_papers() -> None:
    wide = VIEW_SETS["wide"].views
    assert len(wide) == 18
    assert wide[0] == VIEW_SETS["basic"].views[0] == View(0.0, 1.0, False)
    assert {view.rotation for view in wide} == {-15.0, 0.0, 15.0}
    assert {view.scale for view in wide} == {0.75, 1.0, 1.25}
    assert len(VIEW_SETS["basic"].views) == 1


def test_matrices_are_those_of_cv2() -> None:
    settings = ViewSettings(rotations=(0.0, 7.0), scales=(1.0, 1.3), flip=False)
    size = 31
    for view, matrix in zip(settings.views, view_matrices(settings, size), strict=True):
        expected = cv2.getRotationMatrix2D((15.0, 15.0), view.rotation, view.scale)
        np.testing.assert_allclose(matrix, expected, atol=1e-12)


def test_a_mirrored_view_mirrors_first_and_then_turns() -> None:
    settings = ViewSettings(rotations=(0.0, 7.0), scales=(1.0, 1.3))
    plain, mirrored = np.split(view_matrices(settings, 31), 2)
    for before, after in zip(plain, mirrored, strict=True):
        point = np.array([3.0, 19.0, 1.0])
        twin = np.array([30.0 - 3.0, 19.0, 1.0])
        np.testing.assert_allclose(after @ point, before @ twin)


def test_the_centre_stays_where_it_is() -> None:
    settings = ViewSettings(centre=(0.25, 0.75))
    fixed = np.array([0.25 * 40 - 0.5, 0.75 * 40 - 0.5, 1.0])
    for view, matrix in zip(settings.views, view_matrices(settings, 40), strict=True):
        if not view.flip:
            np.testing.assert_allclose(matrix @ fixed, fixed[:2])


@pytest.mark.parametrize("name", ["default", "wide"])
@pytest.mark.parametrize("border", ["reflect", "edge", "zeros"])
def test_views_agree_with_cv2_on_the_same_matrices(
    face: np.ndarray, name: str, border: Any
) -> None:
    base = VIEW_SETS[name]
    settings = ViewSettings(base.rotations, base.scales, border=border)
    views = make_views(face[None], settings)[0].permute(0, 2, 3, 1).numpy()
    for found, matrix in zip(views, view_matrices(settings, 112), strict=True):
        expected = cv2.warpAffine(
            face.astype(np.float32),
            matrix,
            (112, 112),
            flags=cv2.INTER_LINEAR,
            borderMode=BORDERS[border],
        )
        away = np.s_[24:-24, 24:-24] if border == "zeros" else np.s_[1:-1, 1:-1]
        assert np.abs(found[away] - expected[away]).max() <= CV2_TOLERANCE


def test_bicubic_views_agree_with_cv2_and_stay_in_range(face: np.ndarray) -> None:
    settings = ViewSettings(interpolation="bicubic")
    sharp = np.where(face > 127, 255, 0).astype(np.uint8)
    assert make_views(sharp[None], settings).min() >= 0
    assert make_views(sharp[None], settings).max() <= 255
    views = make_views(face[None], settings)[0].permute(0, 2, 3, 1).numpy()
    for found, matrix in zip(views, view_matrices(settings, 112), strict=True):
        expected = cv2.warpAffine(
            face.astype(np.float32), matrix, (112, 112), flags=cv2.INTER_CUBIC
        )
        clamped = np.clip(expected, 0, 255)
        assert np.abs(inner(found) - inner(clamped)).max() <= CV2_TOLERANCE


def test_a_positive_angle_turns_counter_clockwise_and_a_scale_above_one_enlarges() -> None:
    crop = np.zeros((1, 41, 41, 3), np.float32)
    crop[0, 20, 30] = 255.0  # ten pixels to the right of the centre
    settings = ViewSettings(rotations=(0.0, 90.0), scales=(1.0, 1.5), flip=False)
    views = make_views(crop, settings)[0, :, 0]
    brightest = {
        view: divmod(int(image.argmax()), 41)
        for view, image in zip(settings.views, views, strict=True)
    }
    assert brightest[View(90.0, 1.0, False)] == (10, 20)  # now ten above it
    assert brightest[View(0.0, 1.5, False)] == (20, 35)


def test_the_first_view_is_the_resized_crop_and_its_mirror_image_is_exact(
    face: np.ndarray,
) -> None:
    settings = VIEW_SETS["default"]
    views = make_views(face[None], settings, 112)[0]
    pixels = torch.from_numpy(face).permute(2, 0, 1).float()
    assert torch.equal(views[0], pixels)
    assert settings.views[9] == View(0.0, 1.0, True)
    assert torch.equal(views[9], pixels.flip(2))
    halved = make_views(face[None], settings, 56)[0, 0]
    plain = F.interpolate(pixels[None], (56, 56), mode="bilinear", antialias=True)[0]
    assert torch.equal(halved, plain)


def test_resizing_averages_instead_of_skipping_pixels() -> None:
    stripes = np.zeros((1, 224, 224, 3), np.uint8)
    stripes[:, ::2] = 254
    small = make_views(stripes, VIEW_SETS["basic"], 112)[0, 0]
    assert (small[:, 2:-2] - 127).abs().max() < 1e-3


def test_every_crop_gets_its_own_views_whatever_lies_beside_it() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (5, 37, 37, 3), dtype=np.uint8)
    together = make_views(crops, size=23)
    assert together.shape == (5, 18, 3, 23, 23)
    assert together.dtype == torch.float32
    for crop, views in zip(crops, together, strict=True):
        assert torch.equal(make_views(crop[None], size=23)[0], views)


def test_float_crops_count_from_0_to_255_like_bytes(face: np.ndarray) -> None:
    as_float = make_views(face[None].astype(np.float32))
    assert torch.equal(as_float, make_views(torch.from_numpy(face[None])))


def test_no_crops_yield_no_views() -> None:
    assert make_views(np.zeros((0, 224, 224, 3), np.uint8), size=112).shape == (0, 18, 3, 112, 112)


@pytest.mark.parametrize(
    ("crops", "size", "message"),
    [
        (np.zeros((2, 7, 5, 3), np.uint8), 7, r"square RGB .* got \(2, 7, 5, 3\)"),
        (np.zeros((2, 3, 7, 7), np.uint8), 7, r"square RGB .* got \(2, 3, 7, 7\)"),
        (np.zeros((7, 7, 3), np.uint8), None, r"square RGB .* got \(7, 7, 3\)"),
        (np.zeros((2, 7, 7, 3), np.int64), 7, "uint8 or float from 0 to 255, got torch.int64"),
        (np.zeros((2, 7, 7, 3), np.uint8), 0, "must have a pixel"),
        (np.zeros((2, 0, 0, 3), np.uint8), 7, "must have a pixel"),
    ],
)
def test_crops_of_another_shape_or_kind_are_refused(
    crops: np.ndarray, size: int | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make_views(crops, size=size)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rotations": (-2.0, 2.0)}, r"rotations must hold 0 and scales 1.*\(-2.0, 2.0\)"),
        ({"scales": (1.03,)}, "rotations must hold 0 and scales 1"),
        ({"rotations": ()}, "rotations must hold 0"),
        ({"scales": (0.0, 1.0)}, r"above 0, got \(0.0, 1.0\)"),
        ({"scales": (1.0, 1.0)}, r"scales must not repeat a value, got \(1.0, 1.0\)"),
        ({"rotations": (0.0, 2.0, 2.0)}, "rotations must not repeat"),
        ({"rotations": (0.0, float("nan"))}, "must be finite"),
        ({"border": "mirror"}, r"border must be one of .*'reflect'.* got 'mirror'"),
        ({"interpolation": "nearest"}, "bilinear or bicubic, got 'nearest'"),
        ({"centre": (0.5,)}, r"two shares, x and y, got \(0.5,\)"),
    ],
)
def test_view_settings_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ViewSettings(**changes)


@pytest.mark.parametrize("views", ["basic", "default", "wide"])
def test_a_gpu_makes_the_views_that_the_processor_makes(views: str, gpu: str) -> None:
    crops = torch.randint(0, 256, (3, 29, 29, 3), dtype=torch.uint8)
    settings = VIEW_SETS[views]
    expected = make_views(crops, settings, 23)
    found = make_views(crops.to(gpu), settings, 23)
    assert found.device.type == torch.device(gpu).type
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=0.01)  # of 255
    torch.testing.assert_close(
        resize_crops(crops.to(gpu), 13).cpu(), resize_crops(crops, 13), rtol=0, atol=0.01
    )
    # Neither turned nor scaled: copied, on every device.
    assert torch.equal(found[:, 0], resize_crops(crops.to(gpu), 23))


def test_a_gpu_sums_views_up_as_the_processor_does(gpu: str) -> None:
    embeddings = torch.randn(3, 18, 7)
    for found, expected in zip(
        view_statistics(embeddings.to(gpu)), view_statistics(embeddings), strict=True
    ):
        torch.testing.assert_close(found.cpu(), expected, rtol=1e-5, atol=1e-6)
    mean, deviation = view_statistics(embeddings[:, :1].expand(-1, 5, -1).to(gpu))
    assert torch.equal(mean.cpu(), embeddings[:, 0])
    assert not deviation.any()
