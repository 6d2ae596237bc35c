"""Part ``transfer``: rates of crops from workers to their consumer, and from there to a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.bench import Bench
from benchmarks.ratio import Row
from extractors.running.face_network import FaceNetwork, load_face_network
from extractors.running.settings import NetworkSettings
from extractors.views import VIEW_SETS
from pipeline.workers.consumer import Consumer
from pipeline.workers.cores import num_cores

SHAPE = (224, 224, 3)
CROPS_A_REQUEST = 39  # frames of 720x576 in one chunk
BATCHES = {"64 crops": 64, "256 crops": 256}
REPEATS = 10
AIM = "2,100 frames/s with one view"
SENDER = """
import json, sys, time
import numpy as np
from pipeline.workers.remote import RemoteNetwork, connect
connect(*json.loads(sys.argv[1]), bytes.fromhex(sys.argv[2]))
crops = np.zeros(({crops}, *{shape}), np.uint8)
network = RemoteNetwork("free")
network.extract(crops)
print(flush=True)
sys.stdin.readline()
ends, count = time.monotonic() + {seconds}, 0
while time.monotonic() < ends:
    network.extract(crops)
    count += {crops}
print(count)
"""


class FreeNetwork(FaceNetwork):
    """A network that brings crops to its device and computes nothing there."""

    def embed(self, crops: np.ndarray | Tensor) -> Tensor:
        """Return zeros: (N, V, D)."""
        return torch.zeros(len(crops), len(self.settings.views.views), self.dim, device=self.device)


def measure(bench: Bench) -> Iterator[dict[str, Any]]:
    """Yield rates in memory and to the device, then those of the workers' way to the consumer."""
    found: dict[str, Any] = {}
    if bench.on_gpu:
        found["to_the_device"] = {name: to_device(bench, n) for name, n in BATCHES.items()}
        yield dict(found)
    seconds = min(5.0, bench.budget / 4)
    found["to_the_consumer"] = through_sockets(bench, seconds)
    rate = found["to_the_consumer"]["crops_per_second"]
    rows = [Row("crops from workers to the consumer", rate, 2_100, "crops/s", source=AIM)]
    figures = [f"{way}: {figure}" for way, figure in found.items()]
    yield {**found, "rows": [row.to_json() for row in rows], "figures": figures}


def to_device(bench: Bench, count: int) -> dict[str, float]:
    """GB a second of a batch of crops: into pinned memory, from it and from plain memory."""
    crops = np.zeros((count, *SHAPE), np.uint8)
    network = _free(bench)
    pinned, plain = network.gather([crops]), torch.from_numpy(crops)
    ways = {
        "gather_into_pinned": lambda: network.gather([crops]),
        "pinned": lambda: pinned.to(network.device, non_blocking=True),
        "plain": lambda: plain.to(network.device),
    }
    found = {}
    for name, way in ways.items():
        way()
        torch.cuda.synchronize(network.device)
        started = time.perf_counter()
        for _ in range(REPEATS):
            way()
        torch.cuda.synchronize(network.device)
        found[name] = round(REPEATS * crops.nbytes / (time.perf_counter() - started) / 1e9, 2)
    return found


def through_sockets(bench: Bench, seconds: float) -> dict[str, Any]:
    """Crops a second from as many workers as stage one has, with a network that costs nothing."""
    jobs = bench.jobs or num_cores()
    code = SENDER.format(crops=CROPS_A_REQUEST, shape=SHAPE, seconds=seconds)
    with Consumer(lambda _: _free(bench), threads=1) as consumer:
        address, key = consumer.setup.args  # type: ignore[attr-defined]  # a partial
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", code, json.dumps([address]), key.hex()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(jobs)
        ]
        try:
            for worker in workers:
                assert worker.stdout is not None
                worker.stdout.readline()  # it is ready
            before, started = time.process_time(), time.perf_counter()
            for worker in workers:
                assert worker.stdin is not None
                worker.stdin.write("\n")
                worker.stdin.flush()
            crops = sum(int(worker.communicate()[0]) for worker in workers)
            took = time.perf_counter() - started
            cpu = time.process_time() - before
        finally:
            for worker in workers:
                worker.kill()
    rate = crops / took
    return {
        "workers": jobs,
        "crops_per_second": round(rate, 1),
        "gb_per_second": round(rate * int(np.prod(SHAPE)) / 1e9, 3),
        "consumer_cores_busy": round(cpu / took, 2),
        "consumer_seconds": consumer.seconds_by_step(),
    }


def _free(bench: Bench) -> FreeNetwork:
    """Make a network that takes as many crops at a time as one with 18 views."""
    own = load_face_network("resnet18", None, NetworkSettings(views=VIEW_SETS["basic"]))
    return FreeNetwork(
        own.spec,
        own.module,
        own.settings,
        device=bench.device,
        batch_size=BATCHES["64 crops"],
        merge_norms=False,
        order_weights=False,
    )
