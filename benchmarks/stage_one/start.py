"""First seconds of ``avfuse extract``: until the first clip begins, and until its first entry.

    python -m benchmarks.stage_one.start [--only ir50] [--cold] [-o FILE.json]

Two clips of one frame, two workers. Weight files of IR-50 and VGG-Face are written with random
numbers (174 and 470 MB); ResNet-18 is the one that avfuse ships. Seconds count from the start of
the command. A clip begins when its worker, libraries loaded, opens it; its first entry of a network
needs the weights too.
"""

from __future__ import annotations

import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from select import select
from typing import Any

import av
import click
import numpy as np
import torch

from benchmarks.machine import describe_machine, write_result
from benchmarks.ratio import Row
from cache.manifest.clip import Clip
from cache.manifest.manifest import write_manifest
from extractors.networks import NETWORKS
from extractors.weights.load import save_weights
from extractors.weights.random import initialise

AIM = 5.0  # seconds
CLIPS = 2
LOOK_SECONDS = 0.01
IN_OPEN = 0x20  # of linux/inotify.h
# Networks at once, and how their weights are named; {} is the folder of the files.
WAYS: dict[str, dict[str, str]] = {
    "ir50": {"ir50": "{}/ir50.safetensors"},
    "vggface": {"vggface": "{}/vggface.pth"},
    "three": {"ir50": "{}/ir50.safetensors", "vggface": "{}/vggface.pth", "resnet18": "default"},
}


def make_weights(folder: Path) -> None:
    """Write the weight files that ``WAYS`` names."""
    for name, suffix in (("ir50", ".safetensors"), ("vggface", ".pth")):
        module = NETWORKS[name].build()
        initialise(module, seed=0)
        path = folder / f"{name}{suffix}"
        if suffix == ".pth":
            torch.save(module.state_dict(), path)
        else:
            save_weights(module, path, {})


def make_clips(folder: Path) -> Path:
    """Write a manifest of clips that have one frame, without a face."""
    clips = []
    for number in range(CLIPS):
        path = folder / f"clip-{number}.mp4"
        with av.open(path, "w") as container:
            stream = container.add_stream("mpeg4", rate=25, width=320, height=240)
            image = np.full((240, 320, 3), 100 + 50 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
            container.mux(stream.encode())
        clips.append(Clip(f"clip-{number}", path))
    return write_manifest(folder / "manifest.csv", clips)


def forget(folder: Path) -> None:
    """Drop weight files from the system's cache of files."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(manifest: Path, weights: dict[str, str]) -> dict[str, float]:
    """Run the command once in a new cache; return the seconds until each event."""
    with tempfile.TemporaryDirectory(prefix="avfuse-start-") as name:
        folder = Path(name)
        command = [sys.executable, "-m", "pipeline", "extract", str(manifest)]
        command += ["--cache", str(folder / "cache"), "--sets", ",".join(weights), "--jobs", "2"]
        for network, file in weights.items():
            command += ["--weights", f"{network}={file}"]
        command += ["--views", "basic", "--json"]
        found: dict[str, float] = {}
        opened = _watch_opening(manifest.parent.glob("*.mp4"))
        started = time.perf_counter()
        with subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        ) as process:
            while process.poll() is None:
                for what, seen in _look(folder, opened):
                    if seen and what not in found:
                        found[what] = time.perf_counter() - started
                time.sleep(LOOK_SECONDS)
            words = process.stderr.read().decode() if process.stderr else ""
        found["end"] = time.perf_counter() - started
        os.close(opened)
        if process.returncode:
            raise click.ClickException(words)
        return found


def _watch_opening(paths: Iterable[Path]) -> int:
    """Return a file that can be read from once one of some files has been opened."""
    libc = ctypes.CDLL(None)
    watch: int = libc.inotify_init()
    for path in paths:
        libc.inotify_add_watch(watch, os.fsencode(path), IN_OPEN)
    return watch


def _look(folder: Path, opened: int) -> Iterator[tuple[str, bool]]:
    """Yield each event, and whether it has happened: by a clip's opening and by entries."""
    yield "clip begins", bool(select([opened], [], [], 0)[0])
    entries = [
        path.relative_to(folder / "cache").parts[0] for path in folder.glob("cache/*/??/*.h5")
    ]
    yield "first faces", any(name.startswith("faces-") for name in entries)
    yield "first entry", any(not name.startswith("faces-") for name in entries)


@click.command()
@click.option("--only", help=f"Some of {','.join(WAYS)}, separated by commas.")
@click.option("--runs", default=3, show_default=True, help="Runs of each; the median counts.")
@click.option("--cold", is_flag=True, help="Weight files are read from the disk.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON file for the result.")
def main(only: str | None, runs: int, cold: bool, out: Path | None) -> None:
    """Measure the first seconds."""
    machine = describe_machine()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="avfuse-bench-") as name:
        files, clips = Path(name) / "weights", Path(name) / "clips"
        for folder in (files, clips):
            folder.mkdir()
        make_weights(files)
        manifest = make_clips(clips)
        for way in only.split(",") if only else WAYS:
            weights = {network: text.format(files) for network, text in WAYS[way].items()}
            found = []
            for _ in range(runs):
                if cold:
                    forget(files)
                found.append(measure(manifest, weights))
            for what in found[0]:
                seconds = statistics.median(times[what] for times in found)
                row = Row(f"{way}: {what}", seconds, AIM, "s", most=True)
                rows.append(row.to_json())
                click.echo(f"{row.what:24} {seconds:6.2f} s   aim {AIM:g} s")
    if out:
        write_result(out, {"machine": machine, "rows": rows})


if __name__ == "__main__":
    main()
