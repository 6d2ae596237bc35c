from __future__ import annotations

from pathlib import Path

import dlib
import numpy as np
import pytest

from cache.digest import digest_file
from cache.entries.entry import Entry
from cache.entries.source import Source
from pipeline.faces.identity import (
    SAME_PERSON,
    DlibRecogniser,
    IdentityArrays,
    find_recogniser,
    load_recogniser,
    read_identity,
)
from tests.pipeline.scenes import astronaut


@pytest.fixture(scope="module")
def recogniser() -> DlibRecogniser:
    model = find_recogniser()
    return load_recogniser(model, digest_file(model))


def chip(image: np.ndarray) -> np.ndarray:
    """Cut out the astronaut's face as dlib does for its recogniser."""
    import face_recognition_models as models

    predictor = dlib.shape_predictor(models.pose_predictor_five_point_model_location())
    shape = predictor(image, dlib.rectangle(175, 76, 265, 166))
    return np.asarray(dlib.get_face_chip(image, shape, 150, 0.25))


def entry(arrays: dict[str, np.ndarray]) -> Entry:
    source = Source(2, 3, "0" * 64)
    return Entry("a", arrays, "ok", (), {}, source, {}, {})


def test_embeddings_are_dlibs_own(recogniser: DlibRecogniser) -> None:
    face = chip(astronaut())
    model = dlib.face_recognition_model_v1(str(find_recogniser()))
    expected = np.asarray(model.compute_face_descriptor(face), np.float32)
    assert np.array_equal(recogniser.embed(face[None])[0], expected)


def test_one_face_in_two_lights_is_one_person_and_noise_is_another(
    recogniser: DlibRecogniser,
) -> None:
    face = chip(astronaut())
    noise = np.random.default_rng(3).integers(0, 256, face.shape, np.uint8)
    one, dark, other = recogniser.embed(np.stack([face, face // 2, noise]))
    assert np.linalg.norm(one - dark) < SAME_PERSON < np.linalg.norm(one - other)


def test_an_embedding_is_the_same_whichever_crops_are_beside_it(
    recogniser: DlibRecogniser,
) -> None:
    face = chip(astronaut())
    both = recogniser.embed(np.stack([face[:, ::-1], face]))
    assert both.shape == (2, 128)
    assert both.dtype == np.float32
    assert np.array_equal(both[1:], recogniser.embed(face[None]))
    assert recogniser.embed(np.empty((0, 150, 150, 3), np.uint8)).shape == (0, 128)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 149, 150, 3), np.uint8), ((2, 150, 150, 3), np.float32)]
)
def test_other_crops_than_the_recognisers_are_refused(
    recogniser: DlibRecogniser, shape: tuple[int, ...], dtype: type
) -> None:
    with pytest.raises(ValueError, match=r"must be \(N, 150, 150, 3\) of uint8, got \(2, 1"):
        recogniser.embed(np.zeros(shape, dtype))


def test_a_file_that_is_no_recogniser_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.dat"
    file.write_bytes(b"nothing of dlib's")
    with pytest.raises(ValueError, match=r"other\.dat is not dlib's face recogniser"):
        load_recogniser(file, digest_file(file))
    with pytest.raises(ValueError, match=r"other\.dat changed since the run began"):
        load_recogniser(file, "0" * 64)


def test_what_an_entry_stores_is_read_back() -> None:
    found = IdentityArrays(
        times=np.array([0.5, 1.5]),
        frame=np.array([0, 0, 1], np.int32),
        track=np.array([0, 1, 0], np.int32),
        box=np.arange(12, dtype=np.float32).reshape(3, 4),
        sharpness=np.array([3, 5, 7], np.float32),
        embedding=np.ones((3, 128), np.float32),
    )
    back = read_identity(entry(found.arrays()))
    assert len(back) == 3
    for name, values in vars(found).items():
        assert np.array_equal(getattr(back, name), values), name


def test_an_entry_of_another_set_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"clip a: expected an entry of an identity set.*crops/emb"
    ):
        read_identity(entry({"times": np.zeros(2)}))
