"""Still images for a fine-tuning, their faces aligned by stage one where that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.stills.images.image_files import Aligner, Reading
from trainer.stills.images.layouts import find_layout, read_stills
from trainer.stills.images.parts import StillParts, StillsError
from trainer.stills.settings import FinetuneConfig


def read_images(
    data: Path,
    config: FinetuneConfig,
    *,
    layout: str = "auto",
    align: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> StillParts:
    """Read the still images of a folder or file in the size that a training takes.

    Args:
        data: the images, in one of the layouts that ``find_layout`` knows.
        config: settings of the training and of the images; see ``load_config``.
        layout: the layout's name; ``auto`` finds it out.
        align: detect and align the faces first; see ``make_aligner``.
        progress: called with the number of images read and of all.

    Raises:
        StillsError: there are no such images, too many can't be read, or they are faces that were
            cut out already and are to be aligned.
        OSError: something can't be read.
    """
    found = find_layout(data, layout)
    if align and found.faces_given:
        raise StillsError(
            f"--align finds faces in image files; {data} ({found.name}) holds faces cut out already"
        )
    size = config.stored_size()
    aligner = make_aligner(size) if align else None
    grey = config.training.grey
    return read_stills(
        data, found.name, Reading(config.data, size, grey, align=aligner, hear=progress)
    )


def framing_of(layout: str) -> dict[str, float] | None:
    """Return the framing of ``make_aligner``'s crops; None for a layout whose boxes are used."""
    from pipeline.faces.settings import CropSettings

    settings = CropSettings()
    aligned = layout != "affectnet"
    return {"extend": settings.extend, "lift": settings.lift} if aligned else None


def make_aligner(size: int) -> Aligner:
    """Make a function that cuts the largest face out of an image, aligned by its landmarks.

    A still is a clip of one frame: faces are found, and cropped upright where their landmarks
    don't agree with their box, as stage one does by default.

    Args:
        size: side of the crop in pixels.

    Raises:
        pipeline.faces.second.SecondDetectorError: the second detector's model isn't there.

    Source:
        Zhou et al., ICMI 2019, section 2.1: dlib's detection and alignment, the box extended by
        30 %; the whole image where no face is found. Differs from it: the second detector, and
        upright crops.
    """
    # dlib and OpenCV, for those who ask for alignment alone.
    from pipeline.choice.choice import find_faces
    from pipeline.faces.crops import crop_faces
    from pipeline.faces.second import own_second
    from pipeline.faces.settings import CropSettings, FaceSettings
    from pipeline.faces.tracks import BoxSource
    from pipeline.media.frames import Frames

    settings, crops = FaceSettings(), CropSettings(size=size)
    second = own_second(settings)

    def align(image: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        still = Frames(image[None], np.zeros(1))
        faces = find_faces([still], settings, second=second)
        if faces.rung[0] == BoxSource.WHOLE:
            return None
        chosen = crop_faces(still.images, faces.landmarks, faces.box, faces.rung, crops)
        return np.asarray(chosen[0], np.uint8)

    return align
