"""Parts ``stage-one`` and ``known-faces``: from files to committed entries by ``avfuse extract``.

The command is stopped by SIGINT when the time is over: what is committed counts, with the report.
"""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.busy import BusyMeter
from benchmarks.ratio import Row
from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest, write_manifest
from pipeline.workers.cores import num_cores

VIEWS = {"1 view": "basic", "18 views": "default"}
SHARES = {"1 view": 0.4, "18 views": 0.5}  # of a part's budget; the rest is for ending
SHORT_SECONDS = 0.2  # of each clip in a rehearsal: IR-50 takes a second for 18 views there
PASSED = "InsightFace-REST end to end, RTX 4090, published"
WHOLE = "SCRFD on whole video, RTX 5090, published: the aim"
# Frames a second: with faces to find, and with faces known.
TARGETS: dict[str, tuple[tuple[float, str], ...]] = {
    "1 view": ((223, "py-feat 2, RTX PRO 6000, published"), (820, PASSED), (2_100, WHOLE)),
    "18 views": ((412, "to be passed"), (1_000, "the aim")),
}
BUSY = 90.0
# Shares of the time from which one thing holds up the rest.
GPU_IS_BUSY, FEEDER_IS_BUSY, WORKERS_WAIT = 0.85, 0.8, 0.4
WAITING = ("queue", "transfer", "network")


def measure(bench: Bench) -> Iterator[dict[str, Any]]:
    """Yield what extraction takes where nothing is known of the clips, with 1 view and with 18."""
    clips = _clips(bench)
    yield from _measure(bench, "from files to entries", dict.fromkeys(VIEWS, clips), seed=0)


def measure_known(bench: Bench) -> Iterator[dict[str, Any]]:
    """Yield the same for another network, on clips whose faces the cache holds."""
    clips = _clips(bench)
    for name in VIEWS:
        if not _ended(bench, name):
            found = extract(bench, clips, name, "faces", bench.budget / 4)
            yield {f"faces, {name}": found}
    known = {name: [c for c in clips if c.id in _ended(bench, name)] for name in VIEWS}
    yield from _measure(bench, "faces known", known, seed=1)


def _measure(
    bench: Bench, what: str, clips: Mapping[str, Sequence[Clip]], *, seed: int
) -> Iterator[dict[str, Any]]:
    figures: list[str] = []
    for name in VIEWS:
        seconds = SHARES[name] * bench.budget
        found = extract(bench, clips[name], name, "ir50", seconds, seed=seed)
        rate = found["frames_per_second"]
        rows = [
            Row(f"IR-50, {name}, {what}", rate, target, "frames/s", source=source)
            for target, source in TARGETS[name]
        ]
        if busy := found["gpu"]:
            rows.append(Row("GPU busy meanwhile", busy["gpu_busy_percent"], BUSY, "%"))
        figure = f"{name}: {rate:,.1f} frames/s of {found['frames']} frames. {found['verdict']}"
        figures.append(figure)
        yield {name: found, "rows": [row.to_json() for row in rows], "figures": figures}


def extract(
    bench: Bench, clips: Sequence[Clip], views: str, sets: str, seconds: float, *, seed: int = 0
) -> dict[str, Any]:
    """Run ``avfuse extract`` for some seconds, or until all clips are done.

    Raises:
        RuntimeError: it refused, or not one clip was done.
    """
    slug = views.replace(" ", "-")
    manifest = write_manifest(bench.folder / f"{slug}.csv", clips, overwrite=True)
    report = bench.folder / f"{slug}-{sets}-{seed}.json"
    command = [sys.executable, "-m", "pipeline", "extract", str(manifest), "-o", str(report)]
    command += ["--cache", str(bench.folder / f"cache-{slug}"), "--sets", sets]
    command += ["--weights", f"ir50=random:{seed}"] if sets == "ir50" else []
    command += ["--views", VIEWS[views], "--device", bench.device, "--precision", bench.precision]
    command += ["--consumer", "shared"]  # a rehearsal too: it is what a GPU gets
    command += ["--jobs", str(bench.jobs)] if bench.jobs else []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    with BusyMeter(bench.device) as meter:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            words, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            words, _ = process.communicate()
        wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if not report.exists():
        told = words.decode().strip()[-2000:]
        raise RuntimeError(f"no report after {wall:.0f} s; give a larger --budget, or see: {told}")
    found = json.loads(report.read_text())
    jobs = bench.jobs or num_cores()
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    result = summarise(found, wall, cpu, jobs) | {"gpu": meter.to_json()}
    if sets != "faces":
        result["verdict"] = judge(found, on_gpu=bench.on_gpu)
    return result


def summarise(report: Mapping[str, Any], wall: float, cpu: float, jobs: int) -> dict[str, Any]:
    """Sum up a report: rates once the first clip was begun, where time went, what held it up.

    Args:
        report: as ``avfuse extract`` writes it.
        wall: seconds of the whole command.
        cpu: processor seconds of its processes.
        jobs: its workers.

    Raises:
        RuntimeError: not one clip was done.
    """
    frames = sum(report["frames"].values())
    if not frames:
        raise RuntimeError(
            f"no clip was done in {wall:.0f} s: {report['states']}; give a larger --budget"
        )
    at_work = report["seconds"] - report["start_seconds"]
    done = [clip for clip in report["clips"] if clip["state"] != "failed"]
    worked = sum(clip["seconds"] for clip in done)
    return {
        "clips": len(done),
        "frames": frames,
        "states": report["states"],
        "interrupted": bool(report["interrupted"]),
        "start_seconds": round(wall - at_work, 2),
        "seconds": round(at_work, 2),
        "frames_per_second": round(frames / at_work, 2),
        # Of clips that ended; those in hand at the end count neither as frames nor as seconds.
        "frames_per_second_of_ended_clips": round(jobs * frames / worked, 2) if worked else None,
        "cores_busy": round(cpu / wall, 2),
        "peak_memory_bytes": report["peak_memory_bytes"],
        "worker_seconds_by_step": report["seconds_by_step"],
        "consumer_seconds": report["consumer_seconds"],
    }


def judge(report: Mapping[str, Any], *, on_gpu: bool) -> str:
    """Say in a sentence what held the GPU up, from the report of ``avfuse extract``.

    Args:
        report: with the seconds of the workers, of the consumer and of its device.
        on_gpu: whether the device works beside the thread that feeds it, and not in it.
    """
    seconds = report["seconds"] - report["start_seconds"]
    steps, consumer = report["seconds_by_step"], report["consumer_seconds"]
    device = consumer["device"].get("network", 0.0) / seconds
    feeding = {name: consumer.get(name, 0.0) / seconds for name in ("gather", "launch", "answer")}
    feeding["launch"] -= 0 if on_gpu else device
    whole = sum(steps.values())
    waiting = sum(steps.get(name, 0.0) for name in WAITING) / whole
    own = {name: value / whole for name, value in steps.items() if name not in WAITING}
    longest = sorted(own, key=own.__getitem__, reverse=True)[:2]
    work = " and ".join(f"{own[name]:.0%} on {name}" for name in longest)
    if device >= GPU_IS_BUSY:
        return f"The device was the limit: it computed during {device:.0%} of the time."
    if sum(feeding.values()) >= FEEDER_IS_BUSY:
        step = max(feeding, key=feeding.__getitem__)
        return (
            f"The thread that feeds the device was the limit: {feeding[step]:.0%} of the time went "
            f"into {step}; the device computed during {device:.0%}."
        )
    if waiting < WORKERS_WAIT:
        return (
            f"The workers were the limit: they spent {work}, and {waiting:.0%} waiting for "
            f"embeddings; the device computed during {device:.0%} of the time."
        )
    return (
        f"Workers and device waited for each other: the workers {waiting:.0%} of their time, while "
        f"the device computed during {device:.0%}; more workers (--jobs) would fill the gaps."
    )


def _clips(bench: Bench) -> list[Clip]:
    clips = list(read_manifest(bench.manifest).clips)
    if bench.on_gpu:
        return clips
    return [replace(clip, start_seconds=0.0, end_seconds=SHORT_SECONDS) for clip in clips]


def _ended(bench: Bench, views: str) -> set[str]:
    """Return the clips whose faces an earlier part has left in the cache."""
    slug = views.replace(" ", "-")
    found: set[str] = set()
    for path in bench.folder.glob(f"{slug}-*-0.json"):
        report = json.loads(path.read_text())
        found |= {clip["clip"] for clip in report["clips"] if clip["state"] != "failed"}
    return found
