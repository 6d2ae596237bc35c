"""Frames per second, peak memory and size of an entry, per set of stage one.

    python -m benchmarks.stage_one.speed MANIFEST --work FOLDER [--sets faces,resnet18,...]

Each set is extracted by the real command in a process of its own, into one cache in the order
given, so that a network's row doesn't count the faces that the row before it found. Networks get
random weights: the arithmetic is the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import describe_machine, write_result
from cache.sets.feature_set import FeatureSet
from extractors.networks import NETWORKS


def measure_set(
    manifest: Path, cache: Path, name: str, jobs: int, views: str, extra: tuple[str, ...]
) -> dict[str, Any]:
    """Extract one set and say what it took."""
    command = [sys.executable, "-m", "pipeline", "extract", str(manifest), "--cache", str(cache)]
    command += ["--sets", name, "--jobs", str(jobs), "--json", *extra]
    if name in NETWORKS:
        command += ["--weights", f"{name}=random", "--views", views]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    if done.returncode == 2:
        raise click.ClickException(done.stderr)
    report = json.loads(done.stdout)
    feature_set = FeatureSet.open(cache / report["sets"][name])
    entries = [path.stat().st_size for path in feature_set.entry_paths()]
    frames = sum(report["frames"].values())
    return {
        "set": name,
        "views": views if name in NETWORKS else "",
        "states": report["states"],
        "seconds": round(seconds, 1),
        "frames": frames,
        "frames_per_second": round(frames / seconds, 2) if frames else None,
        "clips_per_second": round(len(report["clips"]) / seconds, 3),
        "peak_mib_per_process": round(report["peak_memory_bytes"] / 2**20),
        "entry_bytes_mean": round(sum(entries) / max(1, len(entries))),
    }


@click.command()
@click.argument("manifest", type=click.Path(exists=True, path_type=Path))
@click.option("--work", required=True, type=click.Path(path_type=Path), help="Folder to work in.")
@click.option("--sets", default="faces,resnet18,spectrogram,logmel", show_default=True)
@click.option("--views", default="default", show_default=True)
@click.option("--jobs", default=2, show_default=True)
@click.option("--set", "overrides", multiple=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON file for the result.")
def main(
    manifest: Path,
    work: Path,
    sets: str,
    views: str,
    jobs: int,
    overrides: tuple[str, ...],
    out: Path | None,
) -> None:
    """Measure stage one on the clips of MANIFEST."""
    machine = describe_machine()
    cache = work / "cache"
    extra = tuple(word for override in overrides for word in ("--set", override))
    rows = []
    for name in sets.split(","):
        row = measure_set(manifest, cache, name, jobs, views, extra)
        rows.append(row)
        click.echo("  ".join(f"{key} {value}" for key, value in row.items()))
    result = {"machine": machine, "manifest": str(manifest), "jobs": jobs, "rows": rows}
    if out:
        write_result(out, result)


if __name__ == "__main__":
    main()
