"""Stage one and two on a GPU, in parts, with where the time goes and what held the GPU up.

    python -m benchmarks.gpu MANIFEST [--only PART ...] [--precision bf16] [--jobs N] -o FILE.json
    python -m benchmarks.gpu MANIFEST --device cpu --budget 20 -o FILE.json

Every part plans to take ``--budget`` seconds and measures as many frames as fit; the file is
written after every figure. The parts come in the order of their worth. Without CUDA it says so and
ends; ``--device cpu`` rehearses all of it on a processor, with small sizes and pieces of the clips.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from pipeline.cli import prepare_process
from pipeline.commands.extract import PRECISION_NAMES

NO_GPU = "no CUDA device: run `python -m benchmarks.gpu MANIFEST` on a machine with one"
REHEARSAL = "a rehearsal on a processor: these figures say nothing about a GPU"
PART_NAMES = ("network", "stage-one", "known-faces", "stage-two", "finetune", "transfer")


@click.command()
@click.argument("manifest", type=click.Path(exists=True, path_type=Path), required=False)
@click.option("--only", multiple=True, type=click.Choice(PART_NAMES), help="Parts to measure.")
@click.option(
    "--precision",
    type=click.Choice(list(PRECISION_NAMES)),
    help="Precision of stage one (default: bf16 on a GPU, fp32 in a rehearsal).",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes (default: every core).")
@click.option("--device", default="cuda", show_default=True, help="cuda, cuda:N or cpu.")
@click.option("--budget", default=60.0, show_default=True, help="Seconds that each part plans for.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON file for the result.")
def main(
    manifest: Path | None,
    only: tuple[str, ...],
    precision: str | None,
    jobs: int | None,
    device: str,
    budget: float,
    out: Path | None,
) -> None:
    """Measure a GPU at work on the clips of MANIFEST (default: a generated corpus)."""
    import torch  # loaded after the process is prepared for it

    from benchmarks.gpu import finetune, network, stage_one, stage_two, transfer
    from benchmarks.gpu.bench import Bench, run_parts
    from benchmarks.machine import describe_machine, write_result
    from benchmarks.ratio import format_rows
    from pipeline.commands.demo_corpus import DemoSettings, make_demo_corpus

    parts = {
        "network": network.measure,
        "stage-one": stage_one.measure,
        "known-faces": stage_one.measure_known,
        "stage-two": stage_two.measure,
        "finetune": finetune.measure,
        "transfer": transfer.measure,
    }
    result: dict[str, Any] = {"machine": describe_machine(), "rows": []}
    if device != "cpu" and not torch.cuda.is_available():
        click.echo(NO_GPU)
        if out:
            write_result(out, {**result, "skipped": NO_GPU})
        return
    if device == "cpu":
        result["rehearsal"] = REHEARSAL
    with tempfile.TemporaryDirectory(prefix="avfuse-gpu-") as name:
        folder = Path(name)
        bench = Bench(
            manifest or make_demo_corpus(folder / "corpus", DemoSettings(speakers=40, takes=2)),
            folder,
            device,
            precision or ("fp32" if device == "cpu" else "bf16"),
            jobs,
            budget,
        )
        chosen = {name: parts[name] for name in PART_NAMES if name in only or not only}
        failed = run_parts(chosen, bench, result, out)
    result["rows"] = [row for found in result["parts"].values() for row in found["rows"]]
    if out:
        write_result(out, result)
    click.echo(f"\n{format_rows(result['rows'])}\n")
    for name, found in result["parts"].items():
        for figure in found.get("figures", []):
            click.echo(f"{name}: {figure}")
    if device == "cpu":
        click.echo(f"This was {REHEARSAL}.")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    prepare_process()
    main()
