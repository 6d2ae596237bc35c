"""Features: what a head sees of a feature set, derived when read and never stored twice.

icmi19's enhancements (its Table 3) are "mean", "mean_std" and "norm_fft"; F-AR-Mean is "mean" of
two sets joined, F-MeanStd-2 is "mean_std" of a set extracted with the wide views.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
# Rows that are worked on at once: keeps what is computed in float64 small.
CHUNK = 16384
# Arrays of a network's set beside its features.
NOT_FEATURES = ("times", "rung", "track")


class FeaturesError(ValueError):
    """Features that a set does not offer, or that can't be used as asked."""


def norm_fft(basic: Array) -> Array:
    """Fourier-transform each embedding and normalise: F-NormFFT.

    Args:
        basic: (n, D).

    Returns:
        (n, 2 D): the full discrete Fourier transform over the D values divided by its L2 norm,
        first the D real parts, then the D imaginary ones. A zero embedding stays zero.

    Source:
        Zhou et al., ICMI 2019, "Feature Enhancement". The paper leaves axis and norm open.
    """
    result = np.empty((len(basic), 2 * basic.shape[1]), np.float32)
    for rows in chunks(len(basic)):
        spectrum = np.fft.fft(basic[rows].astype(np.float64), axis=1)
        norm = np.sqrt((np.abs(spectrum) ** 2).sum(axis=1, keepdims=True))
        spectrum /= np.where(norm > 0, norm, 1.0)
        result[rows] = np.concatenate([spectrum.real, spectrum.imag], axis=1)
    return result


# features -> the arrays they are made of, and how
DERIVED: dict[str, tuple[tuple[str, ...], Callable[..., Array]]] = {
    "mean_std": (("mean", "std"), lambda mean, std: np.concatenate([mean, std], axis=1)),
    "norm_fft": (("basic",), norm_fft),
}


def choose_features(features: str, offered: Sequence[str], name: str) -> str:
    """Say which features "auto" means for a set, and check that a set offers those asked for.

    Args:
        features: a key of ``DERIVED``, the name of an array, or "auto".
        offered: arrays of the set's entries.
        name: the set, for messages.

    Raises:
        FeaturesError: the set lacks an array that they need, or "auto" has no one answer.
    """
    arrays = [array for array in offered if array not in NOT_FEATURES and "/" not in array]
    if features == "auto":
        if "basic" in arrays or len(arrays) == 1:
            return "basic" if "basic" in arrays else arrays[0]
        raise FeaturesError(
            f"set {name} has the arrays {', '.join(arrays) or 'none'}; "
            "say which to read, such as video.features=NAME"
        )
    missing = [array for array in arrays_of(features) if array not in arrays]
    if missing:
        known = [*arrays, *(key for key, (needs, _) in DERIVED.items() if set(needs) <= {*arrays})]
        hint = ""
        if "basic" in arrays and {"mean", "std"} & {*missing}:
            hint = "; it was extracted with --views basic: extract it with the default views"
        raise FeaturesError(
            f"set {name} offers no features {features!r}; it offers {', '.join(known)}{hint}"
        )
    return features


def arrays_of(features: str) -> tuple[str, ...]:
    """Name the arrays that features are made of."""
    return DERIVED[features][0] if features in DERIVED else (features,)


def derive(features: str, arrays: Mapping[str, Array]) -> Array:
    """Make features of the arrays that ``arrays_of`` names, row by row."""
    if features not in DERIVED:
        return arrays[features]
    names, make = DERIVED[features]
    return make(*(arrays[name] for name in names))


def chunks(n: int) -> list[slice]:
    """Cut n rows into pieces of ``CHUNK``."""
    return [slice(start, start + CHUNK) for start in range(0, n, CHUNK)]
