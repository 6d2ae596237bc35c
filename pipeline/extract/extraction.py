"""One extraction, as a command or a call from Python asks for it: checks, plan, run.

What is cheap to refuse is refused before PyTorch and dlib are loaded, here and in the workers.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from cache.commit import check_file_place, check_place
from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest
from cache.settings import Overrides, check_choice, check_counts
from cache.signals import StopRequest
from extractors.networks import NETWORKS
from extractors.running.device import check_device, check_precision, choose_device
from extractors.running.settings import resolve_settings
from pipeline.choice.overrides import read_overrides
from pipeline.extract.choices import (
    DEFAULT_SETS,
    DEFAULT_VIEWS,
    ConsumerChoice,
    EngineName,
    TrustChoice,
    check_sets,
    shard,
)
from pipeline.extract.settings import load_settings
from pipeline.extract.weights import PlanError, check_choices, parse_weights, with_defaults
from pipeline.workers.cores import num_cores
from pipeline.workers.pool import EarlyWorkers

if TYPE_CHECKING:
    from pipeline.extract.clusters import Engine
    from pipeline.extract.plan import Plan
    from pipeline.extract.summary import Summary

REPORT_BEGIN = b'{\n  "sets":'  # as every version has written it


@dataclass(frozen=True)
class Extraction:
    """An extraction that has been checked and planned, and whose workers are starting.

    Attributes:
        clips: to bring up to date.
        plan: the sets to make.
        notes: what to know of its weights before it runs.
    """

    clips: tuple[Clip, ...]
    plan: Plan
    notes: tuple[str, ...]
    jobs: int | None
    threads: int | None
    consumer: ConsumerChoice
    report: Path | None
    early: EarlyWorkers

    def run(self, *, engine: Engine | None = None, stop: StopRequest | None = None) -> Summary:
        """Extract; see ``pipeline.extract.run.run_extract``."""
        from pipeline.extract.run import run_extract

        return run_extract(
            self.clips,
            self.plan,
            jobs=self.jobs,
            threads=self.threads,
            consumer=self.consumer,
            report=self.report,
            engine=engine,
            stop=stop,
            early=self.early,
        )


@contextlib.contextmanager
def begin_extraction(
    manifest: Path,
    cache: Path,
    *,
    sets: str | Sequence[str] | None = None,
    weights: Sequence[str] | Mapping[str, str | Path] = (),
    views: str | None = None,
    precision: str | None = None,
    config: Path | None = None,
    settings: Overrides = (),
    overrides: Path | None = None,
    jobs: int | None = None,
    threads: int | None = None,
    consumer: ConsumerChoice = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    engine: EngineName = "local",
    shard_text: str | None = None,
    trust: TrustChoice = "stat",
    retry_failed: bool = False,
    follow_links: bool = False,
    out: Path | None = None,
) -> Iterator[Extraction]:
    """Check and plan an extraction; its workers end with the ``with``.

    Args:
        manifest: see ``pipeline.doors.extract_features``, as the rest.
        cache: see there.
        sets: see there; or names joined by commas.
        weights: see there; or each as ``NAME=FILE``.
        views: see there.
        precision: see there.
        config: see there.
        settings: see there.
        overrides: see there.
        jobs: see there.
        threads: see there.
        consumer: see there.
        device: see there.
        batch_size: see there.
        engine: what works on the clips.
        shard_text: ``I/N`` for part I of N of the manifest.
        trust: see there.
        retry_failed: see there.
        follow_links: see there.
        out: see there.

    Raises:
        ValueError: manifest, sets, weights, settings or overrides can't be used as asked.
        OSError: something can't be read, or the cache can't be written.
    """
    if engine != "local" and shard_text is not None:
        raise PlanError(
            f"--engine {engine} cuts the manifest into shards itself; leave out --shard"
        )
    if sets is None:
        sets, views = DEFAULT_SETS, views or DEFAULT_VIEWS
    asked = sets.split(",") if isinstance(sets, str) else sets
    names = [name.strip() for name in asked if name.strip()]
    check_sets(names)
    check_choice("trust", trust, get_args(TrustChoice))
    check_counts(batch_size=batch_size)
    choices = parse_weights(weights)
    check_choices(names, choices)
    table = read_manifest(manifest, follow_links=follow_links)
    clips = shard(table.clips, shard_text)
    if cache.exists() and not cache.is_dir():
        raise PlanError(f"--cache {cache} is a file; expected a folder, which may be new")
    by_hand = read_overrides(overrides, {c.id for c in table.clips}) if overrides else None
    choices = with_defaults(names, choices)
    chosen = load_settings(settings, file=config, views=views or "", precision=precision or "")
    for name in (name for name in names if name in NETWORKS):
        resolve_settings(chosen.network, NETWORKS[name], None)
    if engine == "local":  # another machine may well have what this one lacks
        check_device(device)
        if chosen.network.precision != "float32":
            check_precision(chosen.network.precision, choose_device(device))
    if not cache.exists():  # one that has all can be read-only
        check_place(cache)
    if out is not None:
        check_file_place(out)
        _check_report(out)
    # What is cheap to refuse has been; the rest loads PyTorch and dlib, here and in the workers.
    count = 0 if engine != "local" else min(num_cores() if jobs is None else jobs, len(clips))
    with EarlyWorkers(count, load="pipeline.extract.clip") as early:
        from pipeline.extract.plan import plan_sets, tell_default

        plan = plan_sets(
            names,
            chosen,
            choices,
            cache=cache,
            device=device,
            batch_size=batch_size or 0,
            retry_failed=retry_failed,
            trust=trust,
            command=sys.argv,
            overrides=by_hand,
        )
        notes = []
        for planned in plan.sets:
            if planned.choice and planned.choice.default:
                notes.append(tell_default(planned))
            if planned.spec.untrained:
                notes.append(
                    f"Warning: {planned.name} has random weights. Its features, every run trained "
                    "on them and every prediction are marked untrained."
                )
        yield Extraction(clips, plan, tuple(notes), jobs, threads, consumer, out, early)


def _check_report(path: Path) -> None:
    """Refuse to replace a file that is no earlier report: it may be the manifest, or a clip.

    Raises:
        PlanError: something else is there.
    """
    if not path.exists():
        return
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(REPORT_BEGIN)) in (REPORT_BEGIN, b""):
                return
    raise PlanError(f"--out {path} exists and is no report of extract; name another file")
