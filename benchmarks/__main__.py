"""``make bench``: both stages measured on this machine, one result file and a table.

Stage one runs on the labelled clips below AVFUSE_TEST_DATA, or on a generated corpus without them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import describe_machine
from cache.manifest import read_manifest, write_manifest
from pipeline.demo_corpus import make_demo_corpus

RESULTS = Path(__file__).parent / "results"
# So few that 18 views of them take minutes on two cores, not an hour.
SHORT = ("mer_00002422", "dfew_disgust")


def make_manifests(folder: Path) -> tuple[Path, Path]:
    """All clips, and a few of them for what is slow."""
    data = os.environ.get("AVFUSE_TEST_DATA")
    if not data:
        whole = make_demo_corpus(folder / "corpus")
        clips = read_manifest(whole).clips
        short = write_manifest(folder / "short.csv", clips[:: len(clips) // 5])
        return whole, short
    whole = folder / "all.csv"
    table = Path(data) / "clips" / "labelled.csv"
    command = [sys.executable, "-m", "pipeline", "index", "csv", str(table), "-o", str(whole)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    clips = [clip for clip in read_manifest(whole).clips if clip.clip in SHORT]
    return whole, write_manifest(folder / "short.csv", clips)


def measure(module: str, *arguments: object) -> dict[str, Any]:
    """Run one benchmark in a process of its own and return its result."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        command = [sys.executable, "-m", module, *map(str, arguments), "-o", str(out)]
        subprocess.run(command, check=True)
        result: dict[str, Any] = json.loads(out.read_text())
        return result


@click.command()
@click.option("-o", "--out", type=click.Path(path_type=Path), help="Where the result goes.")
def main(out: Path | None) -> None:
    """Measure both stages and write benchmarks/results/<date>-<host>.json."""
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="avfuse-bench-") as folder:
        whole, short = make_manifests(Path(folder))
        work = Path(folder) / "work"
        stages = "benchmarks.stage_one"
        result = {
            "machine": machine,
            "stage_one": measure(
                *(stages, whole, "--work", work / "basic", "--views", "basic"),
                *("--sets", "faces,resnet18,spectrogram,logmel"),
            ),
            "stage_one_18_views": measure(
                *(stages, short, "--work", work / "views", "--sets", "faces,resnet18,ir50")
            ),
            "stage_two": measure("benchmarks.stage_two"),
        }
    out = out or RESULTS / f"{machine['date'][:10]}-{machine['host']}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")
    click.echo(f"\n{out}")


if __name__ == "__main__":
    main()
