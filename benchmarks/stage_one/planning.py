"""Time and memory of planning three networks, whose files a plan reads and doesn't load.

    python -m benchmarks.stage_one.planning

Weight files of IR-50 (safetensors) and VGG-Face (.pth) are written with random numbers; ResNet-18
is the one that avfuse ships. What is printed is above a process that has planned faces alone.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import click
import torch

from extractors.networks import NETWORKS
from extractors.weights.load import save_weights
from extractors.weights.random import initialise

PLAN = """
import sys, time
from pathlib import Path
from pipeline.extract.plan import plan_sets
from pipeline.extract.settings import StageOneSettings
from pipeline.extract.weights import parse_weights

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024

plan_sets(["faces"], StageOneSettings(), {}, cache=Path("none"))
before, started = peak(), time.perf_counter()
choices = parse_weights(sys.argv[1:])
plan_sets(list(choices), StageOneSettings(), choices, cache=Path("none"))
print(f"{time.perf_counter() - started:.2f} s, {peak() - before:.0f} MB above {before:.0f} MB")
"""


@click.command()
@click.option("--runs", default=3, show_default=True, help="Plans, each in a new process.")
def main(runs: int) -> None:
    """Measure planning."""
    with tempfile.TemporaryDirectory() as folder:
        ir50, vggface = Path(folder) / "ir50.safetensors", Path(folder) / "vggface.pth"
        for name, path in (("ir50", ir50), ("vggface", vggface)):
            module = NETWORKS[name].build()
            initialise(module, seed=0)
            if path.suffix == ".pth":
                torch.save(module.state_dict(), path)
            else:
                save_weights(module, path, {})
        choices = [f"ir50={ir50}", f"vggface={vggface}", "resnet18=default"]
        for _ in range(runs):
            subprocess.run([sys.executable, "-c", PLAN, *choices], check=True)


if __name__ == "__main__":
    main()
