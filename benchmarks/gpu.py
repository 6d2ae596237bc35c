"""Stage one on a GPU: from files to committed entries, and how busy the GPU was.

    python -m benchmarks.gpu [MANIFEST] [--precision bf16] [--jobs N] -o FILE.json

IR-50 with 18 views; the workers decode, find faces and crop, one consumer feeds the GPU. Without a
manifest a corpus is generated. Target on one H100 with 16 cores: 1,000 frames/s (18,000 crops/s),
GPU busy at least 90 %. Beside it the network alone on ready crops, in each precision with what it
costs against float32. Without CUDA it says so and ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from benchmarks.machine import describe_machine, write_result
from benchmarks.ratio import Row
from benchmarks.stage_two.ratios import measure_on_gpu
from cache.manifest.manifest import read_manifest, write_manifest
from extractors.running.face_network import load_face_network
from extractors.running.settings import NetworkSettings
from extractors.views import VIEW_SETS
from pipeline.commands.extract import PRECISION_NAMES
from pipeline.demo_corpus import DemoSettings, make_demo_corpus

SAMPLE_SECONDS = 0.2
BATCHES = 20


class BusyMeter:
    """Samples how busy the GPU is, by nvidia-smi; ``mean`` leaves out the idle start and end."""

    def __init__(self) -> None:
        self.samples: list[float] = []
        self._ended = threading.Event()

    def __enter__(self) -> BusyMeter:
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _sample(self) -> None:
        command = ["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
        while not self._ended.wait(SAMPLE_SECONDS):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                self.samples.append(float(done.stdout.split()[0]))

    @property
    def mean(self) -> float:
        """Percent, from the first busy sample to the last."""
        samples = np.array(self.samples)
        busy = np.flatnonzero(samples > 0)
        return float(samples[busy[0] : busy[-1] + 1].mean()) if len(busy) else 0.0


def network_alone(precision: str) -> dict[str, Any]:
    """Crops per second of IR-50 with 18 views on ready crops, and the deviation from float32."""
    settings = NetworkSettings(precision=PRECISION_NAMES[precision], views=VIEW_SETS["default"])
    network = load_face_network("ir50", None, settings, device="cuda")
    crops = np.random.default_rng(0).integers(0, 256, (network.batch_size, 224, 224, 3), np.uint8)
    network.extract(crops)
    torch.cuda.synchronize()
    started = time.perf_counter()
    found = [network.begin(crops) for _ in range(BATCHES)]
    torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    del found
    return {
        "views_per_second": round(BATCHES * len(crops) * 18 / seconds),
        "batch_size": network.batch_size,
        "deviation": network.deviation,
    }


def extract(
    manifest: Path, cache: Path, precision: str, jobs: int | None, seed: int = 0
) -> dict[str, Any]:
    """Run ``avfuse extract`` on the GPU."""
    command = [sys.executable, "-m", "pipeline", "extract", str(manifest), "--cache", str(cache)]
    command += ["--sets", "ir50", "--weights", f"ir50=random:{seed}", "--json"]
    command += ["--device", "cuda", "--precision", precision]
    command += ["--jobs", str(jobs)] if jobs else []
    started = time.perf_counter()
    with BusyMeter() as meter:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode == 2:
        raise click.ClickException(done.stderr)
    report = json.loads(done.stdout)
    frames = sum(report["frames"].values())
    return {
        "frames": frames,
        "clips": len(report["clips"]),
        "states": report["states"],
        "seconds": round(seconds, 2),
        "frames_per_second": round(frames / seconds, 1),
        "gpu_busy_percent": round(meter.mean, 1),
    }


@click.command()
@click.argument("manifest", type=click.Path(exists=True, path_type=Path), required=False)
@click.option("--precision", type=click.Choice(list(PRECISION_NAMES)), default="bf16")
@click.option("--jobs", type=int, help="Worker processes; default: every core.")
@click.option("--speakers", default=200, show_default=True, help="In a generated corpus.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON file for the result.")
def main(
    manifest: Path | None, precision: str, jobs: int | None, speakers: int, out: Path | None
) -> None:
    """Measure stage one on a GPU; skipped where there is none."""
    machine = describe_machine()
    result: dict[str, Any] = {"machine": machine, "rows": []}
    if not torch.cuda.is_available():
        result["skipped"] = "no CUDA device: run `python -m benchmarks.gpu` on a machine with one"
        click.echo(result["skipped"])
    else:
        result["network_alone"] = {name: network_alone(name) for name in PRECISION_NAMES}
        with tempfile.TemporaryDirectory(prefix="avfuse-gpu-") as folder:
            corpus = manifest or make_demo_corpus(
                Path(folder) / "corpus", DemoSettings(speakers=speakers, takes=2)
            )
            one = write_manifest(Path(folder) / "one.csv", read_manifest(corpus).clips[:1])
            start = extract(one, Path(folder) / "start", precision, 1)
            cache = Path(folder) / "cache"
            both = extract(corpus, cache, precision, jobs)
            known = extract(corpus, cache, precision, jobs, seed=1)
        result |= {"start": start, "extract": both, "another_network_faces_known": known}
        rows = [
            Row(
                "IR-50, 18 views, from files to entries",
                both["frames_per_second"],
                1000,
                "frames/s",
            ),
            Row("GPU busy meanwhile", both["gpu_busy_percent"], 90, "%"),
        ]
        result["stage_two"] = measure_on_gpu()
        result["rows"] = [row.to_json() for row in rows] + result["stage_two"]["rows"]
        click.echo(json.dumps(result, indent=2))
    if out:
        write_result(out, result)


if __name__ == "__main__":
    main()
