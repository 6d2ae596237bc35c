"""Read dlib's face recognition network out of the file that dlib stores it in.

dlib writes whole numbers as a byte that holds their length (and, in its highest bit, the sign) and
then their digits; a tensor is the number 2, its four sizes, and its values as float32. Its layers
follow one another from the image on: of each convolution the kernels and then the biases, of each
norm the gains and then the shifts.
"""

from __future__ import annotations

import re
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from extractors.weights.error import WeightsError

LAYER = re.compile(rb"\x05con_4|\x07affine_")
TENSOR = 2  # version of dlib's tensors
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

    shapes = {
        name: value.shape for name, value in ResNet29().state_dict().items() if value.ndim == 4
    }
    ends = [match.end() for match in islice(LAYER.finditer(content), 2 * len(shapes) + 1)]
    if len(ends) != 2 * len(shapes):
        raise WeightsError(
            f"is cut off, or no face recognition network of dlib's: {len(ends)} convolutions "
            f"and norms, expected {2 * len(shapes)}"
        )
    tensors: dict[str, NDArray[np.float32]] = {}
    for (name, shape), start, norm_start in zip(shapes.items(), ends[::2], ends[1::2], strict=True):
        kernel, norm = read_tensor(content, start), read_tensor(content, norm_start)
        dim, size = shape[0], shape.numel()
        if len(kernel) != size + dim or len(norm) != 2 * dim:
            raise WeightsError(
                f"is no face recognition network of dlib's: {name} has {len(kernel)} numbers and "
                f"its norm {len(norm)}, expected {size + dim} and {2 * dim}"
            )
        gain, shift = norm[:dim], norm[dim:]
        place = name.removesuffix(".weight").replace("conv", "bn")
        tensors[name] = kernel[:size].reshape(shape).copy()
        tensors[f"{place}.weight"] = gain.copy()
        tensors[f"{place}.bias"] = shift + gain * kernel[size:]
        tensors[f"{place}.running_mean"] = np.zeros(dim, np.float32)
        tensors[f"{place}.running_var"] = np.full(dim, 1 - EPSILON, np.float32)
    return tensors


def read_tensor(content: bytes, place: int) -> NDArray[np.float32]:
    """Return the values of the tensor that begins at a place, in one dimension, not copied."""
    sizes = []
    for _ in range(5):
        length = content[place] & 0x0F if place < len(content) else 0
        sizes.append(int.from_bytes(content[place + 1 : place + 1 + length], "little"))
        place += 1 + length
    count = int(np.prod([min(size, len(content)) for size in sizes[1:]], dtype=object))
    if sizes[0] != TENSOR or not 0 < 4 * count <= len(content) - place:
        raise WeightsError("is cut off or damaged, or of another version of dlib")
    return np.frombuffer(content, "<f4", count, place)
