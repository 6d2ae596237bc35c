"""A network alone on ready crops: the most that stage one could do.

    python -m benchmarks.stage_one.network --network ir50 --views default [-o FILE.json]

As many processes as cores with one thread each, as ``avfuse extract`` runs them, begin together on
crops that lie in memory, with that command's settings of threads and memory. Beside it one process
with a thread per core, and the plain module: PyTorch's own layout, norms not merged,
weights not ordered.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.machine import describe_machine, write_result
from pipeline.cli import prepare_process
from pipeline.workers.cores import num_cores

WAYS = ("processes", "threads", "plain")


def work(
    name: str, views: str, crops: int, threads: int, plain: bool, barrier: Barrier, times: Any
) -> None:
    """Load, warm up, wait for the others, embed."""
    import torch

    from extractors.running.face_network import load_face_network
    from extractors.running.settings import NetworkSettings
    from extractors.views import VIEW_SETS

    torch.set_num_threads(threads)
    options = (
        {"channels_last": False, "merge_norms": False, "order_weights": False} if plain else {}
    )
    network = load_face_network(name, None, NetworkSettings(views=VIEW_SETS[views]), **options)
    images = np.random.default_rng(0).integers(0, 256, (crops, 224, 224, 3), np.uint8)
    network.extract(images[: network.batch_size])
    barrier.wait()
    started = time.perf_counter()
    network.extract(images)
    times.put(time.perf_counter() - started)


def measure(name: str, views: str, crops: int, way: str) -> float:
    """Crops per second, of all processes together."""
    context = multiprocessing.get_context("spawn")
    processes = num_cores() if way == "processes" else 1
    threads = 1 if way == "processes" else num_cores()
    crops *= num_cores() if way != "processes" else 1
    barrier, times = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(
            target=work, args=(name, views, crops, threads, way == "plain", barrier, times)
        )
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    seconds = [times.get() for _ in workers]
    for worker in workers:
        worker.join()
    return sum(crops / value for value in seconds)


@click.command()
@click.option("--network", default="ir50", show_default=True)
@click.option("--views", default="default", show_default=True)
@click.option("--crops", default=8, show_default=True, help="Crops for each core.")
@click.option("--ways", default=",".join(WAYS), show_default=True)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON file for the result.")
def main(network: str, views: str, crops: int, ways: str, out: Path | None) -> None:
    """Measure a network on ready crops."""
    prepare_process()
    machine = describe_machine()
    rates = {way: round(measure(network, views, crops, way), 3) for way in ways.split(",")}
    result = {"network": network, "views": views, "crops_per_second": rates}
    click.echo(json.dumps(result))
    if out:
        write_result(out, {"machine": machine, **result})


if __name__ == "__main__":
    main()
