from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import dlib
import numpy as np
import pytest
import torch

from cache.digest import digest_file
from pipeline.faces.identity import SAME_PERSON
from pipeline.faces.recogniser import DlibRecogniser, find_recogniser, load_recogniser
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


def test_embeddings_are_those_that_dlib_computes(recogniser: DlibRecogniser) -> None:
    face = chip(astronaut())
    faces = np.stack([face, face[:, ::-1], np.roll(face, 11, axis=0)])
    model = dlib.face_recognition_model_v1(str(find_recogniser()))
    expected = [model.compute_face_descriptor(np.ascontiguousarray(image)) for image in faces]
    assert np.abs(recogniser.embed(faces) - expected).max() < 1e-5


def test_embeddings_have_the_same_bytes_on_any_number_of_threads(
    recogniser: DlibRecogniser,
) -> None:
    face, before = chip(astronaut())[None], torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(recogniser.embed(face).tobytes())
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(set(found)) == 1


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


def test_a_file_that_changed_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.dat"
    file.write_bytes(b"nothing of dlib's")
    with pytest.raises(ValueError, match=r"other\.dat changed since the run began"):
        load_recogniser(file, "0" * 64)


def whole() -> bytes:
    return find_recogniser().read_bytes()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda: b"nothing of dlib's", "should have 4736 parameters and has 0"),
        (lambda: whole()[:1000], "it ends within a layer"),
        (lambda: whole()[:344], "it ends within a number"),
        (lambda: whole()[:30_000], "it ends within a layer"),
        (lambda: whole()[:56_890], "should have 64 parameters and has 0"),
        (lambda: whole().replace(b"\x05con_4", b"\x05con_9", 1), "4736 parameters and has 64"),
        (lambda: whole()[:400] + b"\xff" * 8 + whole()[408:], "a parameter is not finite"),
        (lambda: whole().replace(b"\x02\x80\x12", b"\x08" + b"\xff" * 8, 1), "within a layer"),
        (lambda: bytes(64_000_001), "it is larger than 64000000 bytes"),
    ],
)
def test_a_file_that_is_no_recogniser_is_refused(
    tmp_path: Path, damage: Callable[[], bytes], message: str
) -> None:
    file = tmp_path / "other.dat"
    file.write_bytes(damage())
    with pytest.raises(ValueError, match=rf"other\.dat is not dlib's face recogniser: .*{message}"):
        DlibRecogniser(file)
