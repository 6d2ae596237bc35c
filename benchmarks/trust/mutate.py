"""Extract mutated media files: no crash of the run, no hang, bounded memory, a reason for each.

    python -m benchmarks.trust.mutate --files 2000 --folder /tmp/mutated [--data ../shared/data]

Seeds are tiny clips in many containers and codecs, written on the spot, and with ``--data`` the
small real ones too. Each file is one seed with one kind of damage, under a fixed random seed. The
test suite does the same with a few dozen.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

from benchmarks.machine import describe_machine
from cache.codec import fields_to_json
from cache.manifest.clip import Clip
from cache.manifest.manifest import write_manifest
from cache.upkeep.verify import verify_cache
from pipeline.extract.plan import plan_sets
from pipeline.extract.run import run_extract
from pipeline.extract.settings import StageOneSettings

SETS = ("faces", "spectrogram", "logmel")
MAX_REAL_BYTES = 600_000
SECONDS = 0.25  # of each file; the seeds have 0.32
EXTREMES = (0, 1, 7, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
# suffix, video codec, pixel format, audio codec (None: no sound)
FORMATS = (
    (".mp4", "mpeg4", "yuv420p", "aac"),
    (".mov", "libx264", "yuv420p", "aac"),
    (".mkv", "libx264", "yuv420p", "pcm_s16le"),
    (".mkv", "ffv1", "yuv420p", "pcm_s16le"),
    (".avi", "mjpeg", "yuvj420p", "pcm_s16le"),
    (".avi", "mpeg4", "yuv420p", "ac3"),
    (".ts", "mpeg2video", "yuv420p", "mp2"),
    (".mpg", "mpeg1video", "yuv420p", "mp2"),
    (".flv", "flv", "yuv420p", None),
    (".webm", "libvpx", "yuv420p", None),
    (".mov", "png", "rgb24", "pcm_s16be"),
    (".wav", None, None, "pcm_s16le"),
)


@dataclass(frozen=True)
class Outcome:
    """Outcome of extracting the mutated files."""

    files: int
    states: dict[str, int]
    without_a_reason: int
    ended_their_worker: int
    hung: int
    unforeseen: dict[str, int]
    damaged_entries: int
    seconds: float
    peak_memory_bytes: int

    @property
    def clean(self) -> bool:
        """Whether every promise held."""
        return (
            sum(self.states.values()) == self.files
            and not self.without_a_reason
            and not self.damaged_entries
        )


def make_seeds(folder: Path) -> list[Path]:
    """Write one tiny clip for every format that this build of FFmpeg can write."""
    import av

    folder.mkdir(parents=True)
    seeds = []
    for number, (suffix, codec, pixels, sound) in enumerate(FORMATS):
        path = folder / f"seed{number}{suffix}"
        try:
            _write_seed(path, codec, pixels, sound)
        except (av.error.FFmpegError, ValueError) as error:
            print(f"{suffix} {codec} {sound}: {error}", file=sys.stderr)
            path.unlink(missing_ok=True)
            continue
        seeds.append(path)
    return seeds


def _write_seed(path: Path, codec: str | None, pixels: str | None, sound: str | None) -> None:
    import av

    rng = np.random.default_rng(3)
    with av.open(str(path), "w") as container:
        tracks = []
        if codec is not None:
            video = container.add_stream(codec, rate=25)
            video.height, video.width, video.pix_fmt = 96, 128, pixels
            tracks.append(video)
        if sound is not None:
            audio = container.add_stream(sound, rate=16_000 if path.suffix == ".wav" else 48_000)
            audio.layout = "mono"
            tracks.append(audio)
        for track in tracks:
            if track.type == "video":
                for _ in range(8):
                    small = rng.integers(0, 256, (12, 16, 3), np.uint8)
                    image = np.repeat(np.repeat(small, 8, axis=0), 8, axis=1)
                    container.mux(track.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            else:
                wave = 0.3 * np.sin(np.arange(track.rate // 4) * 0.05, dtype=np.float32)[None]
                frame = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
                frame.sample_rate = track.rate
                resampler = av.AudioResampler(
                    format=track.format.name, layout="mono", rate=track.rate,
                    frame_size=track.frame_size,
                )  # fmt: skip
                for piece in [*resampler.resample(frame), *resampler.resample(None)]:
                    container.mux(track.encode(piece))
            container.mux(track.encode(None))


def _flip_bits(content: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 3, 20, 200))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _flip_head(content: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 4, 16))):
        content[rng.randrange(min(len(content), 600))] = rng.randrange(256)


def _truncate(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(1, len(content)) :]


def _cut_out(content: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(content))
    del content[start : start + rng.choice((1, 4, 100, 2_000))]


def _swap_blocks(content: bytearray, rng: random.Random) -> None:
    size = rng.choice((4, 8, 64, 1_000))
    one, two = (rng.randrange(max(1, len(content) - size)) for _ in range(2))
    first, second = content[one : one + size], content[two : two + size]
    content[one : one + len(second)], content[two : two + len(first)] = second, first


def _set_length(content: bytearray, rng: random.Random) -> None:
    """Write an extreme number where a length, a count or a size may be."""
    order = rng.choice(("big", "little"))
    for _ in range(rng.choice((1, 2, 8))):
        at = rng.randrange(max(1, len(content) - 4))
        content[at : at + 4] = rng.choice(EXTREMES).to_bytes(4, order)


def _set_box_length(content: bytearray, rng: random.Random) -> None:
    """Change the length, or the content's first words, of a box of mp4 and its kin."""
    names = [
        at
        for at in range(4, len(content) - 12)
        if all(97 <= byte <= 122 or 48 <= byte <= 57 for byte in content[at : at + 4])
    ]
    if not names:
        return _set_length(content, rng)
    at = rng.choice(names) + rng.choice((-4, 4, 8, 12))
    content[at : at + 4] = rng.choice(EXTREMES).to_bytes(4, "big")
    return None


def _repeat_block(content: bytearray, rng: random.Random) -> None:
    start = rng.randrange(len(content))
    block = content[start : start + rng.choice((16, 512, 4_000))]
    content[start:start] = block * rng.choice((1, 3, 30))


DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip_bits,
    _flip_head,
    _truncate,
    _cut_out,
    _swap_blocks,
    _set_length,
    _set_box_length,
    _repeat_block,
)


def write_mutants(seeds: list[Path], folder: Path, *, files: int, seed: int) -> list[Clip]:
    """Write mutated files; the same for the same seeds and number."""
    folder.mkdir(parents=True)
    rng = random.Random(seed)  # noqa: S311 - not for secrets
    clips = []
    for number in range(files):
        source = seeds[number % len(seeds)]
        content = bytearray(source.read_bytes())
        damage = DAMAGES[number // len(seeds) % len(DAMAGES)]
        damage(content, rng)
        path = folder / f"m{number}{source.suffix}"
        path.write_bytes(content)
        name = f"m{number}-{source.stem}-{damage.__name__.strip('_')}"
        clips.append(Clip(name, path, end_seconds=SECONDS))
    return clips


def extract_mutants(clips: list[Clip], folder: Path, *, jobs: int, hang_seconds: float) -> Outcome:
    """Run stage one over the files and sum up."""
    started = time.monotonic()
    write_manifest(folder / "manifest.csv", clips)
    settings = StageOneSettings(hang_seconds=hang_seconds)
    plan = plan_sets(SETS, settings, {}, cache=folder / "cache", device="cpu")
    summary = run_extract(clips, plan, jobs=jobs)
    reasons = [why for clip in summary.clips for r in clip.sets.values() for why in r.why]
    unforeseen = [r for r in reasons if "(" in r and r.split(":")[0].endswith("Error")]
    return Outcome(
        files=len(clips),
        states=dict(Counter(clip.state for clip in summary.clips)),
        without_a_reason=sum(clip.state != "ok" and not clip.reason for clip in summary.clips),
        ended_their_worker=sum("worker process" in clip.reason for clip in summary.clips),
        hung=sum("hung" in clip.reason for clip in summary.clips),
        unforeseen=dict(Counter(unforeseen).most_common(20)),
        damaged_entries=len(verify_cache(folder / "cache").damage),
        seconds=round(time.monotonic() - started, 1),
        peak_memory_bytes=summary.peak_memory_bytes,
    )


@click.command()
@click.option("--files", default=2_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--jobs", default=2, show_default=True)
@click.option("--hang-seconds", default=30.0, show_default=True)
@click.option("--data", type=click.Path(path_type=Path), help="Small real clips are seeds too.")
@click.option(
    "--folder", type=click.Path(path_type=Path), required=True, help="A new folder; it stays."
)
def main(
    files: int, seed: int, jobs: int, hang_seconds: float, data: Path | None, folder: Path
) -> None:
    """Extract mutated media files and print what became of them as JSON."""
    seeds = make_seeds(folder / "seeds")
    if data:
        found = sorted(path for path in (data / "clips").rglob("*.*") if path.suffix != ".csv")
        seeds += [path for path in found if path.stat().st_size <= MAX_REAL_BYTES]
    clips = write_mutants(seeds, folder / "mutants", files=files, seed=seed)
    outcome = extract_mutants(clips, folder, jobs=jobs, hang_seconds=hang_seconds)
    click.echo(
        json.dumps({**describe_machine(), "seeds": len(seeds), **fields_to_json(outcome)}, indent=2)
    )
    sys.exit(0 if outcome.clean else 1)


if __name__ == "__main__":
    main()
