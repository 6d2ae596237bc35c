"""dlib's own file, read without dlib: the same embeddings as dlib's, and what is no such file."""

from __future__ import annotations

import shutil
import tracemalloc
from pathlib import Path

import face_recognition_models
import numpy as np
import pytest
import torch

from extractors.other_networks.resnet29 import ResNet29
from extractors.weights.files import WeightsError, read_weight_file
from extractors.weights.identify import identify
from extractors.weights.load import load_weights

FILE = Path(face_recognition_models.face_recognition_model_location())
LAST_LAYER = 256 * 128  # float32 values of dlib's last layer, before the texts that end the file


@pytest.mark.slow
def test_the_embeddings_are_those_of_dlib() -> None:
    dlib = pytest.importorskip("dlib")
    crops = np.random.default_rng(0).integers(0, 256, (3, 5, 5, 3)).astype(np.uint8)
    crops = np.kron(crops, np.ones((1, 30, 30, 1), np.uint8))
    network = ResNet29().eval()
    load_weights(network, FILE)
    spec_mean = torch.tensor([122.782, 117.001, 104.298]).view(3, 1, 1)
    with torch.inference_mode():
        pooled = network((torch.from_numpy(crops).permute(0, 3, 1, 2) - spec_mean) / 256)
    # dlib multiplies the pooled map by its last layer, which ours leaves out: found in the file.
    content = FILE.read_bytes()
    start = content.rindex(b"\x04fc_2")
    model = dlib.face_recognition_model_v1(str(FILE))
    expected = np.stack([np.array(model.compute_face_descriptor(crop)) for crop in crops])
    layers = (
        np.frombuffer(content, "<f4", LAST_LAYER, start + offset).reshape(256, 128)
        for offset in range(10, 40)
    )
    with np.errstate(all="ignore"):
        errors = [np.abs(pooled.numpy() @ layer - expected).max() for layer in layers]
    assert np.nanmin(errors) < 1e-5


def test_the_file_is_known_for_what_it_is() -> None:
    assert read_weight_file(FILE).kind == "dlib"
    best = identify(FILE)[0]
    assert (best.network, best.fits) == ("resnet29", True)


def test_a_file_that_is_cut_off_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "cut.dat"
    path.write_bytes(FILE.read_bytes()[:5_000_000])
    with pytest.raises(WeightsError, match=r"cut\.dat is cut off, or no face recognition"):
        read_weight_file(path)


def test_another_network_of_dlib_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.dat"
    path.write_bytes(b"\x01\x01\x01\x0dloss_metric_2" + bytes(100))
    with pytest.raises(
        WeightsError, match=r"other\.dat is .*no face recognition network of .*: 0 conv"
    ):
        read_weight_file(path)


@pytest.mark.parametrize(
    ("layers", "message"),
    [(58, "is no face .*conv1.weight has 5000000 numbers"), (4_000, ": 59 convolutions and norms")],
)
def test_layers_that_claim_the_rest_of_the_file_take_no_memory(
    tmp_path: Path, layers: int, message: str
) -> None:
    claim = b"\x01\x02" + b"\x01\x01" * 3 + b"\x03" + (5_000_000).to_bytes(3, "little")
    path = tmp_path / "claims.dat"
    start = b"\x01\x01\x01\x0dloss_metric_2"
    path.write_bytes(start + layers * (b"\x07affine_" + claim) + bytes(20_000_000))
    tracemalloc.start()
    with pytest.raises(WeightsError, match=message):
        read_weight_file(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * path.stat().st_size


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.dat"
    shutil.copy(FILE, path)
    with path.open("r+b") as file:
        file.truncate(65 * 2**20)  # a hole
    with pytest.raises(WeightsError, match="at most 67108864 are read of dlib"):
        read_weight_file(path)
