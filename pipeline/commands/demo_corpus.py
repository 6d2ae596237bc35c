"""A small audio-video corpus made on the spot, for the demo and for tests.

One real photograph of a face (the astronaut Eileen Collins, NASA, public domain, which scikit-image
ships in its wheel) is moved over the picture and its mouth and brows are warped, differently for
each class; each class also has a sound of its own. "Speakers" differ in colour, size and pitch.
It is synthetic: what a head learns on it says nothing about emotions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from cache.manifest.clip import Clip
from cache.manifest.manifest import write_manifest

CLASSES = ("happy", "sad", "surprise")
FRAME_RATE = 12
NUM_FRAMES = 20
FRAME_SIZE = (288, 352)
SOUND_RATE = 16_000

# Where the photograph shows what: pixels (x, y) of the 512x512 image.
FACE_CENTRE = (222.0, 118.0)
MOUTH_CORNERS = ((202.0, 150.0), (240.0, 149.0))
MOUTH_CENTRE = (221.0, 152.0)
BROWS = ((198.0, 92.0), (240.0, 92.0))


class DemoError(RuntimeError):
    """The demo's corpus can't be made."""


@dataclass(frozen=True)
class DemoSettings:
    """Size of the demo's corpus.

    Args:
        speakers: how many; the last third of them is held out as ``val``.
        takes: clips per speaker and class.
        seed: everything random about the corpus.
    """

    speakers: int = 6
    takes: int = 2
    seed: int = 0


def make_demo_corpus(folder: Path, settings: DemoSettings | None = None) -> Path:
    """Write the clips and their manifest.

    Returns:
        The manifest's path, ``<folder>/manifest.csv``. Clips that exist already are made again,
        with the same bytes of picture and sound.

    Raises:
        DemoError: the photograph's package is not installed.
    """
    settings = settings or DemoSettings()
    photograph = _photograph()
    clips: list[Clip] = []
    for speaker in range(settings.speakers):
        for number, label in enumerate(CLASSES):
            for take in range(settings.takes):
                clip = f"{label}-s{speaker + 1}-{take + 1}"
                path = folder / label / f"{clip}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                rng = np.random.default_rng([settings.seed, speaker, number, take])
                _write_clip(path, photograph, label, speaker, rng)
                held_out = speaker >= settings.speakers - max(1, settings.speakers // 3)
                split = "val" if held_out else "train"
                clips.append(Clip(clip, path, label=label, split=split, speaker=f"s{speaker + 1}"))
    manifest = folder / "manifest.csv"
    write_manifest(manifest, clips, overwrite=True)
    return manifest


def _photograph() -> np.ndarray:
    try:
        import skimage
    except ImportError as error:
        raise DemoError(
            "the demo's face is a photograph from the package scikit-image; install it with "
            "pip install 'avfuse[demo]', or give the demo a corpus of your own"
        ) from error
    path = Path(skimage.__file__).parent / "data" / "astronaut.png"
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if image is None:
        raise DemoError(f"{path} can't be read; reinstall scikit-image")
    return np.asarray(image)


def _write_clip(
    path: Path, photograph: np.ndarray, label: str, speaker: int, rng: np.random.Generator
) -> None:
    height, width = FRAME_SIZE
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=FRAME_RATE)
        picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
        picture.bit_rate = 1_500_000
        sound = container.add_stream("aac", rate=SOUND_RATE, layout="mono")
        for number, image in enumerate(_images(photograph, label, speaker, rng)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FRAME_RATE)
            container.mux(picture.encode(frame))
        container.mux(picture.encode())
        waveform = _waveform(label, speaker, rng)
        block = av.AudioFrame.from_ndarray(waveform[None], format="fltp", layout="mono")
        block.sample_rate, block.pts = SOUND_RATE, 0
        block.time_base = Fraction(1, SOUND_RATE)
        container.mux(sound.encode(block))
        container.mux(sound.encode())


def _images(
    photograph: np.ndarray, label: str, speaker: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield the frames: an expression that comes and goes on a face that drifts."""
    height, width = FRAME_SIZE
    tint = 1.0 + 0.12 * np.sin(speaker + np.array([0.0, 2.1, 4.2]))
    size = 1.0 + 0.06 * ((speaker * 7) % 5 - 2)
    phase, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0.8, 1.2)
    drift = rng.uniform(-12, 12, size=2)
    for number in range(NUM_FRAMES):
        progress = number / (NUM_FRAMES - 1)
        amount = strength * np.sin(np.pi * progress) ** 0.5
        warped = _express(photograph, label, float(amount))
        angle = 3.0 * np.sin(2 * np.pi * progress + phase)
        matrix = cv2.getRotationMatrix2D(FACE_CENTRE, angle, size)
        place = np.array([width / 2, height / 2 - 10]) + drift * progress
        matrix[:, 2] = matrix[:, 2] + place - np.array(FACE_CENTRE)
        image = cv2.warpAffine(warped, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        noisy = image * tint + rng.normal(0, 2.0, size=image.shape)
        yield np.clip(noisy, 0, 255).astype(np.uint8)


def _express(photograph: np.ndarray, label: str, amount: float) -> np.ndarray:
    """Move parts of the face: mouth corners up or down, or mouth open and brows raised."""
    rows, columns = np.mgrid[0 : photograph.shape[0], 0 : photograph.shape[1]].astype(np.float32)
    moves: list[tuple[tuple[float, float], float, float, float]]  # where, dx, dy, reach
    if label == "happy":
        left, right = MOUTH_CORNERS
        moves = [(left, -5, -8, 11), (right, 5, -8, 11)]
    elif label == "sad":
        left, right = MOUTH_CORNERS
        moves = [(left, 2, 8, 11), (right, -2, 8, 11), *((brow, 0, 3, 12) for brow in BROWS)]
    else:
        x, y = MOUTH_CENTRE
        moves = [((x, y + 8), 0, 12, 14), *((brow, 0, -8, 14) for brow in BROWS)]
    for (x, y), dx, dy, reach in moves:
        weight = amount * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * reach**2))
        columns = (columns - dx * weight).astype(np.float32)
        rows = (rows - dy * weight).astype(np.float32)
    return np.asarray(cv2.remap(photograph, columns, rows, cv2.INTER_LINEAR))


def _waveform(label: str, speaker: int, rng: np.random.Generator) -> np.ndarray:
    """Make a voiced sound whose melody tells the class and whose pitch the speaker."""
    seconds = NUM_FRAMES / FRAME_RATE
    time = np.arange(int(seconds * SOUND_RATE)) / SOUND_RATE
    base = 120.0 * 2 ** (speaker / 6) * rng.uniform(0.97, 1.03)
    if label == "happy":  # a lively melody
        pitch = base * 2 ** (np.floor(time * 6) % 3 * 4 / 12)
        loudness = 0.4 * (0.6 + 0.4 * np.cos(2 * np.pi * 6 * time))
    elif label == "sad":  # low, falling, soft
        pitch = base * 0.8 * 2 ** (-0.5 * time / seconds)
        loudness = np.full_like(time, 0.15)
    else:  # one rising chirp after silence
        pitch = base * 2 ** (1.5 * time / seconds)
        loudness = np.where(time > 0.4, 0.5 * np.exp(-2.5 * (time - 0.4)), 0.0)
    phase = 2 * np.pi * np.cumsum(pitch) / SOUND_RATE
    voice = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 8))
    noise = rng.normal(0, 0.01, size=time.shape)
    return np.clip(loudness * voice / 2 + noise, -1, 1).astype(np.float32)
