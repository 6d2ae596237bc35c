"""Stage one against its yardstick and against what the machine can do, every ratio from one run.

    python -m benchmarks.stage_one.ratios [--only one-view] [--full] [-o FILE.json]

Clips are those of AVFUSE_TEST_DATA's ``clips/labelled``: every second one, or all with ``--full``;
for 18 views the first 1.4 s of two of them, which takes minutes instead of an hour. Without that
folder a corpus is generated. Rates of ``avfuse extract`` are of the whole command less what the
same command takes for two clips of one frame (starting processes, loading libraries and weights);
how long that is stands beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import describe_machine, write_result
from benchmarks.ratio import Row
from benchmarks.trust.cache_of_many import make_cache
from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest, write_manifest
from extractors.running.device import check_precision
from pipeline.commands.demo_corpus import make_demo_corpus

# The first seconds of each, for what takes a second a frame: as long, so that both cores work.
SHORT = ("mer_00002422", "dfew_disgust")
SHORT_SECONDS = 1.4
AVFUSE = (sys.executable, "-m", "pipeline")
MANY = 10_000
START_SECONDS = 0.04


class Bench:
    """Things the parts share: a folder, manifests, and results kept for one another."""

    def __init__(self, folder: Path, *, full: bool) -> None:
        self.folder = folder
        self.details: dict[str, Any] = {}
        clips = self._clips()
        self.clips = clips if full else clips[::2]
        short = [clip for clip in clips if clip.id in SHORT] or clips[:2]
        self.short = [replace(clip, start_seconds=0.0, end_seconds=SHORT_SECONDS) for clip in short]
        self.manifests = {
            "all": write_manifest(folder / "all.csv", self.clips),
            "short": write_manifest(folder / "short.csv", self.short),
            "start": write_manifest(
                folder / "start.csv",
                [replace(clip, end_seconds=START_SECONDS) for clip in self.short],
            ),
        }

    def _clips(self) -> list[Clip]:
        data = os.environ.get("AVFUSE_TEST_DATA")
        if not data:
            return list(read_manifest(make_demo_corpus(self.folder / "corpus")).clips)
        table = Path(data).resolve() / "clips" / "labelled.csv"
        whole = self.folder / "labelled.csv"
        command = [*AVFUSE, "index", "csv", str(table), "-o", str(whole)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return list(read_manifest(whole).clips)

    def run(self, module: str, *arguments: object) -> dict[str, Any]:
        """Run a benchmark in a process of its own."""
        out = self.folder / "result.json"
        command = [sys.executable, "-m", module, *map(str, arguments), "-o", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        result: dict[str, Any] = json.loads(out.read_text())
        result.pop("machine", None)
        return result

    def extract(
        self, manifest: str, cache: Path, views: str, precision: str = "fp32"
    ) -> dict[str, Any]:
        """Run ``avfuse extract`` with IR-50; returns frames, seconds and fresh entries."""
        command = [*AVFUSE, "extract", str(self.manifests[manifest]), "--cache", str(cache)]
        command += ["--sets", "ir50", "--weights", "ir50=random", "--views", views, "--json"]
        command += ["--precision", precision]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        if done.returncode != 0:
            raise click.ClickException(done.stderr)
        report = json.loads(done.stdout)
        return {"frames": sum(report["frames"].values()), "seconds": seconds, "report": report}

    def run_network(self, views: str, crops: int) -> float:
        """Crops a second of the network by itself, as many processes as cores."""
        result = self.run(
            "benchmarks.stage_one.network",
            "--views",
            views,
            "--crops",
            crops,
            "--ways",
            "processes",
        )
        rate: float = result["crops_per_second"]["processes"]
        return rate

    def rate(
        self, manifest: str, cache: Path, views: str, precision: str = "fp32"
    ) -> tuple[int, float, float]:
        """Frames, frames a second once everything is started, and the seconds that takes."""
        start = self.extract("start", cache.with_name(f"start-{cache.name}"), views, precision)
        whole = self.extract(manifest, cache, views, precision)
        seconds = whole["seconds"] - start["seconds"]
        return whole["frames"], (whole["frames"] - start["frames"]) / seconds, start["seconds"]

    def against_network(
        self, views: str, crops: int, least: float, least_yardstick: float, every: int
    ) -> list[Row]:
        """Measure network, yardstick and ``avfuse extract`` side by side."""
        name = "18 views" if views == "default" else "1 view"
        manifest = "short" if views == "default" else "all"
        cache = self.folder / f"cache-{views}"
        alone = self.run_network(views, crops)
        frames, rate, start_seconds = self.rate(manifest, cache, views)
        # Before and after: a machine that is not one's own changes its speed within minutes.
        network = (alone + self.run_network(views, crops)) / 2
        yardstick = self.run(
            "benchmarks.stage_one.yardstick",
            self.manifests[manifest],
            *("--views", 18 if views == "default" else 1, "--every", every),
        )
        self.details[name] = {
            "clips": len(self.short if views == "default" else self.clips),
            "frames": frames,
            "network_crops_per_second": round(network, 3),
            "frames_per_second": round(rate, 3),
            "start_seconds": round(start_seconds, 2),
            "yardstick": yardstick,
        }
        text = f"stage one, IR-50, {name}"
        return [
            Row(f"{text}, against the network alone", rate / network, least),
            Row(
                f"{text}, against the yardstick",
                rate / yardstick["frames_per_second"],
                least_yardstick,
            ),
        ]

    def one_view(self) -> list[Row]:
        """The basic view only; in half precision too, which is other numbers and another key."""
        rows = self.against_network("basic", 72, 0.80, 4.5, 25)
        details = self.details["1 view"]
        try:
            check_precision("bfloat16", "cpu")
        except ValueError as error:
            details["bf16"] = f"left out: {error}"
            click.echo(f"--precision bf16 is left out: {error}", err=True)
            return rows
        _, rate, _ = self.rate("all", self.folder / "cache-half", "basic", "bf16")
        details["frames_per_second_bf16"] = round(rate, 3)
        found = rate / details["yardstick"]["frames_per_second"]
        return [*rows, Row("the same with --precision bf16, against the yardstick", found, 4.5)]

    def eighteen_views(self) -> list[Row]:
        """The whole set of views."""
        return self.against_network("default", 8, 0.95, 1.45, 5)

    def known_faces(self) -> list[Row]:
        """Another network, another enhancement: what is computed again."""
        cache = self.folder / "cache-basic"
        if not cache.exists():
            command = [*AVFUSE, "extract", str(self.manifests["all"]), "--cache", str(cache)]
            subprocess.run([*command, "--sets", "faces"], check=True, capture_output=True)
        result = self.run("benchmarks.stage_one.known", self.manifests["all"], "--cache", cache)
        rows = [
            Row(
                "another network, faces known: decode and crop, nothing detected",
                result["frames_per_second_a_core"],
                250,
                "frames/s a core",
            )
        ]
        self.details["known faces"] = result
        if list(cache.glob("ir50-*")):
            again = self.extract("all", cache, "basic")["report"]
            made = sum(item["fresh"] for clip in again["clips"] for item in clip["sets"].values())
            rows.append(
                Row(
                    "the same again, another enhancement or head: entries made",
                    made,
                    0,
                    "",
                    most=True,
                )
            )
        return rows

    def overhead(self) -> list[Row]:
        """Measure the overhead of a clip, beside its pictures."""
        row = self.run("benchmarks.stage_one.overhead")["rows"][0]
        self.details["overhead"] = row
        return [
            Row(
                "a clip of 25 frames, free network: above decode and faces",
                row["overhead_ms"],
                15,
                "ms",
                most=True,
            )
        ]

    def command_line(self) -> list[Row]:
        """Measure the wait for a page of help and for a cache's status."""
        cache = self.folder / "many"
        make_cache(cache, MANY)
        rows = []
        for what, arguments, target in (
            ("avfuse --help", ["--help"], 0.3),
            (f"avfuse cache status, {MANY:,} entries", ["cache", "status", str(cache)], 1.0),
        ):
            times = []
            for _ in range(5):
                started = time.perf_counter()
                subprocess.run([_command(), *arguments], check=True, stdout=subprocess.DEVNULL)
                times.append(time.perf_counter() - started)
            rows.append(Row(what, statistics.median(times), target, "s", most=True))
        shutil.rmtree(cache)
        return rows


PARTS: Mapping[str, Callable[[Bench], list[Row]]] = {
    "one-view": Bench.one_view,
    "18-views": Bench.eighteen_views,
    "known-faces": Bench.known_faces,
    "overhead": Bench.overhead,
    "command-line": Bench.command_line,
}


def _command() -> str:
    """The installed command: what a user starts."""
    return str(Path(sys.executable).with_name("avfuse"))


@click.command()
@click.option("--only", help=f"Some of {','.join(PARTS)}, separated by commas.")
@click.option("--full", is_flag=True, help="All labelled clips, not every second one.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON file for the result.")
def main(only: str | None, full: bool, out: Path | None) -> None:
    """Measure every ratio of stage one."""
    parts = only.split(",") if only else list(PARTS)
    for part in parts:
        if part not in PARTS:
            raise click.UsageError(f"no part {part!r}; there are {', '.join(PARTS)}")
    machine = describe_machine()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="avfuse-bench-") as folder:
        bench = Bench(Path(folder), full=full)
        for part in parts:
            started = time.monotonic()
            for row in PARTS[part](bench):
                rows.append({"part": part, **row.to_json()})
                click.echo(json.dumps(rows[-1]))
            bench.details.setdefault("seconds", {})[part] = round(time.monotonic() - started, 1)
        details = bench.details
    if out:
        result = {"machine": machine, "rows": rows, "details": details}
        write_result(out, result)


if __name__ == "__main__":
    main()
