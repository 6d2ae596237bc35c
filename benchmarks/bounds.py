"""Peak memory of ``avfuse extract`` against a clip's length and the number of clips.

    .venv/bin/python -m benchmarks.bounds --folder /tmp/bounds

Generates 1 and 20 minutes of video, and 50 and 1,000 tiny clips, extracts each in a process of its
own with one worker, and prints the largest resident size of any process as JSON. Exits with 1 if
the larger task needs over 10 % more.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.torture import make_corpus
from cache.clip import Clip
from cache.manifest import write_manifest

ALLOWED = 1.10
RATE = 10
FRAME_SIZE = (288, 352)  # so that one minute fills several chunks of frames
SOUND_RATE = 16_000
SETS = "faces,resnet18,spectrogram,logmel"
SMALL_NETWORK = (
    "--weights=resnet18=random", "--set=network.image_size=32", "--views=basic",
)  # fmt: skip


def write_long_clip(path: Path, minutes: float) -> None:
    """Write a picture that moves, without a face, with a tone."""
    import av

    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=RATE)
        video.height, video.width, video.pix_fmt = *FRAME_SIZE, "yuv420p"
        audio = container.add_stream("aac", rate=SOUND_RATE)
        audio.layout = "mono"
        for second in range(int(minutes * 60)):
            for image in _images(second):
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


def _images(second: int) -> Iterator[np.ndarray]:
    height, width = FRAME_SIZE
    for number in range(RATE):
        image = np.full((height, width, 3), 90, np.uint8)
        at = (second * RATE + number) * 7 % (width - 60)
        image[100:160, at : at + 60] = (200, 60, 30)
        yield image


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
@click.option("--folder", type=click.Path(path_type=Path), required=True, help="New; it is kept.")
@click.option("--minutes", default=(1.0, 20.0), type=(float, float), show_default=True)
@click.option("--clips", default=(50, 1_000), type=(int, int), show_default=True)
def main(folder: Path, minutes: tuple[float, float], clips: tuple[int, int]) -> None:
    """Measure peak memory for short and long, few and many."""
    folder.mkdir(parents=True)
    result: dict[str, dict[str, float]] = {}
    for length in minutes:
        name = f"{length:g} minutes"
        path = folder / f"long{length:g}.mp4"
        write_long_clip(path, length)
        manifest = write_manifest(folder / f"long{length:g}.csv", [Clip("long", path)])
        result[name] = measure(
            manifest, folder / f"cache{length:g}", "--sets", SETS, *SMALL_NETWORK
        )
        click.echo(f"{name}: {result[name]}", err=True)
    for number in clips:
        name = f"{number} clips"
        manifest = make_corpus(folder / f"clips{number}", number)
        options = ("--sets", "faces,spectrogram")
        result[name] = measure(manifest, folder / f"cache-{number}", *options)
        click.echo(f"{name}: {result[name]}", err=True)
    peaks = [item["peak_mib"] for item in result.values()]
    ratios = {"longer": round(peaks[1] / peaks[0], 3), "more": round(peaks[3] / peaks[2], 3)}
    click.echo(json.dumps({**describe_machine(), **result, "ratios": ratios}, indent=2))
    sys.exit(0 if max(ratios.values()) <= ALLOWED else 1)


if __name__ == "__main__":
    main()
