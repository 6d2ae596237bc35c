r"""Peak memory of ``avfuse extract`` against a clip's length and the number of clips.

    python -m benchmarks.trust.bounds --folder /tmp/bounds --minutes 1 --minutes 60 \
        --real face.mp4 --real other.mp4

Makes long videos (of the frames of real clips, over and over, or of a picture that moves) and many
tiny clips, extracts each in a process of its own with one worker, and prints the largest resident
size of any process as JSON. Exits with 1 if a larger task needs over 10 % more than the first.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.trust.kills.extract import make_corpus
from cache.manifest.clip import Clip
from cache.manifest.manifest import write_manifest
from pipeline.media.frames import VideoReader

ALLOWED = 1.10
RATE = 10
FRAME_SIZE = (288, 352)  # so that one minute fills several chunks of frames
SOUND_RATE = 16_000
SETS = "faces,resnet18,spectrogram,logmel"
SMALL_NETWORK = (
    "--weights=resnet18=random", "--set=network.image_size=32", "--views=basic",
)  # fmt: skip


def write_long_clip(path: Path, minutes: float, images: Sequence[np.ndarray]) -> None:
    """Write images over and over, with a tone."""
    import av

    endless = itertools.cycle(images)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=RATE)
        video.height, video.width, video.pix_fmt = *FRAME_SIZE, "yuv420p"
        video.bit_rate = 400_000
        audio = container.add_stream("aac", rate=SOUND_RATE)
        audio.layout = "mono"
        for second in range(int(minutes * 60)):
            for image in itertools.islice(endless, RATE):
                container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            times = second + np.arange(SOUND_RATE) / SOUND_RATE
            wave = 0.2 * np.sin(2 * np.pi * 300 * times)
            block = av.AudioFrame.from_ndarray(
                wave.astype(np.float32)[None], format="fltp", layout="mono"
            )
            block.sample_rate, block.pts = SOUND_RATE, second * SOUND_RATE
            container.mux(audio.encode(block))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


def read_images(paths: Sequence[Path]) -> list[np.ndarray]:
    """Return the frames of real clips, so many a second, in one size."""
    import cv2

    images: list[np.ndarray] = []
    for path in paths:
        due = 0.0
        for chunk in VideoReader(path):
            for image, seconds in zip(chunk.images, chunk.times, strict=True):
                if seconds >= due:
                    due += 1 / RATE
                    size = (FRAME_SIZE[1], FRAME_SIZE[0])
                    images.append(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    return images


def draw_images() -> list[np.ndarray]:
    """Return a picture that moves, without a face."""
    height, width = FRAME_SIZE
    images = [np.full((height, width, 3), 90, np.uint8) for _ in range(width - 60)]
    for number, image in enumerate(images):
        at = number * 7 % (width - 60)
        image[100:160, at : at + 60] = (200, 60, 30)
    return images


def measure(manifest: Path, cache: Path, *options: str) -> dict[str, float]:
    """Extract in a fresh process; returns seconds and peak MiB."""
    command = [sys.executable, "-m", "pipeline", "extract", str(manifest), "--cache", str(cache)]
    run = subprocess.run(
        [*command, "--jobs", "1", *options, "--json"], check=True, stdout=subprocess.PIPE, text=True
    )
    report = json.loads(run.stdout)
    return {
        "seconds": report["seconds"],
        "peak_mib": round(report["peak_memory_bytes"] / 2**20, 1),
    }


@click.command()
@click.option(
    "--folder", type=click.Path(path_type=Path), required=True, help="A new folder; it stays."
)
@click.option("--minutes", multiple=True, default=(1.0, 20.0), show_default=True)
@click.option("--clips", multiple=True, default=(50, 1_000), show_default=True)
@click.option(
    "--real",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="A clip whose frames the long videos are made of.",
)
def main(
    folder: Path, minutes: Sequence[float], clips: Sequence[int], real: Sequence[Path]
) -> None:
    """Measure peak memory for short and long, few and many."""
    folder.mkdir(parents=True)
    images = read_images(real) if real else draw_images()
    result: dict[str, dict[str, float]] = {}
    ratios: dict[str, float] = {}
    for length in minutes:
        name = f"{length:g} minutes"
        path = folder / f"long{length:g}.mp4"
        write_long_clip(path, length, images)
        manifest = write_manifest(folder / f"long{length:g}.csv", [Clip("long", path)])
        result[name] = measure(
            manifest, folder / f"cache{length:g}", "--sets", SETS, *SMALL_NETWORK
        )
        ratios[name] = result[name]["peak_mib"] / result[f"{minutes[0]:g} minutes"]["peak_mib"]
        click.echo(f"{name}: {result[name]}", err=True)
    for number in clips:
        name = f"{number} clips"
        manifest = make_corpus(folder / f"clips{number}", number)
        options = ("--sets", "faces,spectrogram")
        result[name] = measure(manifest, folder / f"cache-{number}", *options)
        ratios[name] = result[name]["peak_mib"] / result[f"{clips[0]} clips"]["peak_mib"]
        click.echo(f"{name}: {result[name]}", err=True)
    ratios = {name: round(ratio, 3) for name, ratio in ratios.items()}
    click.echo(json.dumps({**describe_machine(), **result, "ratios": ratios}, indent=2))
    sys.exit(0 if max(ratios.values()) <= ALLOWED else 1)


if __name__ == "__main__":
    main()
