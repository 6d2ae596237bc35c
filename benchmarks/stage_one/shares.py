"""Ways to share out the cores: processes against threads, batch sizes, decoder threads, a consumer.

    python -m benchmarks.stage_one.shares MANIFEST [--only own] [-o FILE.json]

The same few clips, IR-50 with one view, faces included, once in each way. Wall seconds are what
counts on a quiet machine; processor seconds beside them say what was wasted by waiting threads, and
mean something on a busy one too.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import describe_machine, write_result
from extractors.running.device import check_precision

WAYS: dict[str, tuple[str, ...]] = {
    "own": ("--jobs", "2"),
    "one process, 2 threads": ("--jobs", "1", "--threads", "2"),
    "2 processes, 2 threads each": ("--jobs", "2", "--threads", "2"),
    "shared consumer, 1 thread": ("--jobs", "2", "--consumer", "shared", "--threads", "1"),
    "shared consumer, 2 threads": ("--jobs", "2", "--consumer", "shared", "--threads", "2"),
    "batches of 8": ("--jobs", "2", "--batch-size", "8"),
    "batches of 72": ("--jobs", "2", "--batch-size", "72"),
    "2 decoder threads": ("--jobs", "2", "--set", "decode.threads=2"),
    "bf16": ("--jobs", "2", "--precision", "bf16"),
}


def measure(manifest: Path, options: tuple[str, ...]) -> dict[str, Any]:
    """Extract into a new cache; returns wall and processor seconds of all processes."""
    with tempfile.TemporaryDirectory(prefix="avfuse-bench-") as folder:
        command = [sys.executable, "-m", "pipeline", "extract", str(manifest), "--cache", folder]
        command += ["--sets", "ir50", "--weights", "ir50=random", "--views", "basic", "--json"]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        started = time.perf_counter()
        done = subprocess.run([*command, *options], check=True, capture_output=True, text=True)
        wall = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    frames = sum(json.loads(done.stdout)["frames"].values())
    return {"frames": frames, "wall_seconds": round(wall, 1), "cpu_seconds": round(cpu, 1)}


@click.command()
@click.argument("manifest", type=click.Path(exists=True, path_type=Path))
@click.option("--only", help=f"Some of {', '.join(WAYS)}; separated by semicolons.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON file for the result.")
def main(manifest: Path, only: str | None, out: Path | None) -> None:
    """Measure ways to share out the cores."""
    machine = describe_machine()
    result: dict[str, Any] = {"machine": machine}
    for name in only.split(";") if only else WAYS:
        if "bf16" in WAYS[name]:
            try:
                check_precision("bfloat16", "cpu")
            except ValueError as error:
                click.echo(f"{name}: left out: {error}", err=True)
                continue
        result[name] = measure(manifest, WAYS[name])
        click.echo(f"{name}: {result[name]}")
    if out:
        write_result(out, result)


if __name__ == "__main__":
    main()
