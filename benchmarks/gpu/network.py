"""Part ``network``: networks alone on ready crops, in each precision and several batch sizes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu.bench import Bench
from benchmarks.ratio import Row
from extractors.running.begun import Begun, Marks
from extractors.running.face_network import FaceNetwork, load_face_network
from extractors.running.settings import NetworkSettings
from extractors.views import VIEW_SETS, make_views
from pipeline.workers.consumer import IN_FLIGHT

Precision = Literal["float32", "bfloat16", "float16"]
CROP = 224
PRECISIONS: dict[str, Precision] = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
VIEW_NAMES = {"basic": "1 view", "default": "18 views"}
# Crops in a batch, on a GPU and in a rehearsal.
SIZES = {"basic": ((64, 256, 1024), (2, 8)), "default": ((16, 64, 128), (1,))}
# Dense operations a second that the maker states, by a part of the name.
PEAKS = {"H100": {"half": 989e12, "fp32": 67e12}, "H200": {"half": 989e12, "fp32": 67e12}}
PUBLISHED = "ResNet-34 at 288 pixels, IR-50's cost, plain PyTorch, RTX 5090, published"
AIM = "the aim of 1,000 frames/s"


def measure(bench: Bench) -> Iterator[dict[str, Any]]:
    """Yield the rates of IR-50 in each precision, then of the smaller and the larger network."""
    ends = time.monotonic() + bench.budget
    order = [bench.precision, *(name for name in PRECISIONS if name != bench.precision)]
    if not bench.on_gpu:
        order = [name for name in order if name != "fp16"]  # slower by tens than float32 there
    plan = [("ir50", views, precision) for precision in order for views in ("basic", "default")]
    plan += [(name, "basic", bench.precision) for name in ("resnet18", "vggface")]
    found: dict[str, Any] = {}
    figures: list[str] = []
    for name, views, precision in plan:
        key = f"{name}, {VIEW_NAMES[views]}, {precision}"
        left = (ends - time.monotonic()) / (len(plan) - len(found))
        try:
            found[key] = measure_one(bench, name, views, precision, left)
        except ValueError as error:  # a precision that this machine is refused
            found[key] = {"skipped": str(error)}
            continue
        figures.append(_figure(key, found[key]))
        rows = _rows(bench, name, views, precision, found[key])
        yield {"networks": found, "rows": rows, "figures": figures}


def measure_one(
    bench: Bench, name: str, views: str, precision: str, seconds: float
) -> dict[str, Any]:
    """Measure one network with one set of views in one precision."""
    started = time.monotonic()
    sizes = SIZES[views][0 if bench.on_gpu else 1]
    settings = NetworkSettings(precision=PRECISIONS[precision], views=VIEW_SETS[views])
    network = load_face_network(name, None, settings, device=bench.device, batch_size=sizes[-1])
    num_views = len(network.settings.views.views)
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (sizes[-1], CROP, CROP, 3), np.uint8)
    result: dict[str, Any] = {"load_seconds": round(time.monotonic() - started, 2)}
    network.measure_once(crops[: sizes[0]])
    result["deviation_from_float32"] = network.deviation
    if precision == "fp32" and bench.on_gpu:
        result["deviation"] = compare_with_processor(network, name, views, crops[:4])
    left = max(0.2, seconds - (time.monotonic() - started)) / len(sizes)
    rates = {size: rate(network, crops[:size], left) * num_views for size in sizes}
    best = max(rates, key=rates.__getitem__)
    flops = count_flops(network)
    result |= {
        "images_per_second": {str(size * num_views): round(one, 1) for size, one in rates.items()},
        "best": round(rates[best], 1),
        "best_crops": best,
        "gflop_an_image": round(flops / 1e9, 2),
        "tflop_per_second": round(rates[best] * flops / 1e12, 2),
        "seconds_of_a_batch": split(network, crops[:best]),
    }
    gpu = torch.cuda.get_device_name(bench.device) if bench.on_gpu else ""
    peak = next((peaks for part, peaks in PEAKS.items() if part in gpu), None)
    if peak:
        result["share_of_peak"] = round(
            rates[best] * flops / peak["fp32" if precision == "fp32" else "half"], 3
        )
    return result


def rate(network: FaceNetwork, crops: np.ndarray, seconds: float) -> float:
    """Crops a second, batches following each other as the consumer gives them to a device."""
    network.begin(crops).wait()  # tunes convolutions
    images = network.gather([crops])
    flying = deque[Begun]()
    started, done = time.perf_counter(), 0
    while time.perf_counter() - started < seconds / 2:  # the other half went into warming up
        flying.append(network.begin(images))
        if len(flying) == IN_FLIGHT:
            flying.popleft().wait()
        done += len(crops)
    for batch in flying:
        batch.wait()
    return done / (time.perf_counter() - started)


def split(network: FaceNetwork, crops: np.ndarray) -> dict[str, float]:
    """Seconds of one batch: making views, the network itself, and all the rest."""
    pixels = network.gather([crops]).to(network.device)
    marks = Marks(network.device)
    hooks = [
        network.module.register_forward_pre_hook(lambda *_: marks.add()),
        network.module.register_forward_hook(lambda *_: marks.add()),
    ]
    whole = Marks(network.device)
    whole.add()
    network.embed(pixels)
    whole.add()
    for hook in hooks:
        hook.remove()
    views = Marks(network.device)
    views.add()
    make_views(pixels, network.settings.views, network.settings.image_size)
    views.add()
    views.wait()
    total, warp = whole.seconds()[0], views.seconds()[0]
    inside = sum(marks.seconds()[::2])
    found = {"views": warp, "network": inside, "rest": max(0.0, total - warp - inside)}
    return {step: round(value, 5) for step, value in found.items()}


def count_flops(network: FaceNetwork) -> float:
    """Count an image's multiplications and additions in convolutions and products."""
    size = network.settings.image_size
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network.spec.build().eval()(torch.zeros(1, 3, size, size))
    return float(counter.get_total_flops())


def compare_with_processor(
    network: FaceNetwork, name: str, views: str, crops: np.ndarray
) -> dict[str, float]:
    """Compare float32 with the processor's, and a crop alone with the same in a batch."""
    own = load_face_network(name, None, NetworkSettings(views=VIEW_SETS[views]))
    expected, found = own.extract(crops[:2])["basic"], network.extract(crops)["basic"]
    alone = network.extract(crops[:1])["basic"]
    largest = np.abs(expected).max()
    return {
        "from_processor": float(np.abs(found[:2] - expected).max() / largest),
        "alone_from_batch": float(np.abs(found[:1] - alone).max() / largest),
    }


def _rows(
    bench: Bench, name: str, views: str, precision: str, found: dict[str, Any]
) -> list[dict[str, Any]]:
    """Rows of the table: rates of IR-50 in the precision of stage one, and float32's deviation."""
    rows = []
    what = f"{name} alone, {VIEW_NAMES[views]}, {precision}"
    if name == "ir50" and precision == bench.precision:
        target, source = (18_000, AIM) if views == "default" else (7_420, PUBLISHED)
        rows.append(Row(what, found["best"], target, "images/s", source=source))
    if "deviation" in found:
        limit = found["deviation"]["from_processor"]
        rows.append(Row(f"{what}, from the processor's", limit, 1e-4, "", most=True))
    return [row.to_json() for row in rows]


def _figure(key: str, found: dict[str, Any]) -> str:
    peak = f", {found['share_of_peak']:.0%} of the card's peak" if "share_of_peak" in found else ""
    return (
        f"{key}: {found['best']:,.0f} images/s in batches of {found['best_crops']} crops "
        f"({found['tflop_per_second']:.1f} TFLOP/s{peak}); a batch: {found['seconds_of_a_batch']} s"
    )
