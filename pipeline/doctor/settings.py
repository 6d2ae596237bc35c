"""Settings of the doctor: how many frames of a clip it looks at, and how it looks for faces."""

from __future__ import annotations

from dataclasses import dataclass, field

from cache.settings import check_at_least
from pipeline.faces.settings import FaceSettings


@dataclass(frozen=True)
class DoctorSettings:
    """Settings of an examination.

    Args:
        sample: frames of each clip to look for a face in, spread evenly; 0 decodes no picture.
        faces: thresholds and detectors, as for ``extract``.

    Raises:
        ValueError: ``sample`` is negative.
    """

    sample: int = 16
    faces: FaceSettings = field(default_factory=FaceSettings)

    def __post_init__(self) -> None:
        check_at_least(0, self, "sample")
