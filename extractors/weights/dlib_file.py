"""Read dlib's face recognition network out of the file that dlib stores it in.

dlib writes whole numbers as a byte that holds their length (and, in its highest bit, the sign) and
then their digits; a tensor is the number 2, its four sizes, and its values as float32. Its layers
follow one another from the image on: of each convolution the kernels and then the biases, of each
norm the gains and then the shifts.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from extractors.weights.error import WeightsError

LAYER = re.compile(rb"\x05con_4|\x07affine_")
TENSOR = 2  # version of dlib's tensors
NUM_CONVOLUTIONS = 29
EPSILON = 1e-5  # of PyTorch's norms


def read_resnet29(content: bytes) -> dict[str, NDArray[np.float32]]:
    """Return the parameters under the names of ``extractors.other_networks.resnet29.ResNet29``.

    A gain and a shift become a norm of mean 0 and variance 1; a convolution's biases go into it.

    Args:
        content: of ``dlib_face_recognition_resnet_model_v1.dat``.

    Raises:
        WeightsError: it is another network of dlib's, or cut off; the message lacks its path.
    """
    from extractors.other_networks.resnet29 import ResNet29

    found: list[NDArray[np.float32]] = [
        read_tensor(content, match.end()) for match in LAYER.finditer(content)
    ]
    kernels, norms = found[::2], found[1::2]
    places = [
        (name.removesuffix("conv1.weight"), "1", value.shape)
        if name.endswith("conv1.weight")
        else (name.removesuffix("conv2.weight"), "2", value.shape)
        for name, value in ResNet29().state_dict().items()
        if name.endswith(("conv1.weight", "conv2.weight"))
    ]
    tensors: dict[str, NDArray[np.float32]] = {}
    if len(kernels) != len(places) or len(norms) != len(places):
        raise WeightsError("is no face recognition network of dlib's with 29 convolutions")
    for (prefix, number, shape), kernel, norm in zip(places, kernels, norms, strict=True):
        dim, size = shape[0], int(np.prod(shape))
        if len(kernel) != size + dim or len(norm) != 2 * dim:
            raise WeightsError(
                f"is no face recognition network of dlib's: {prefix}conv{number} has {len(kernel)} "
                f"numbers, expected {size + dim}"
            )
        gain, shift = norm[:dim], norm[dim:]
        norms_of = f"{prefix}bn{number}"
        tensors[f"{prefix}conv{number}.weight"] = kernel[:size].reshape(shape)
        tensors[f"{norms_of}.weight"] = gain
        tensors[f"{norms_of}.bias"] = shift + gain * kernel[size:]
        tensors[f"{norms_of}.running_mean"] = np.zeros(dim, np.float32)
        tensors[f"{norms_of}.running_var"] = np.full(dim, 1 - EPSILON, np.float32)
    return tensors


def read_tensor(content: bytes, place: int) -> NDArray[np.float32]:
    """Read the values of the tensor that begins at a place, in one dimension."""
    sizes = []
    for _ in range(5):
        length = content[place] & 0x0F if place < len(content) else 0
        sizes.append(int.from_bytes(content[place + 1 : place + 1 + length], "little"))
        place += 1 + length
    count = int(np.prod([min(size, len(content)) for size in sizes[1:]], dtype=object))
    if sizes[0] != TENSOR or not 0 < 4 * count <= len(content) - place:
        raise WeightsError("is cut off or damaged, or of another version of dlib")
    return np.frombuffer(content, "<f4", count, place).astype(np.float32)
