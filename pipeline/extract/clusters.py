"""Other machines: the shards of a manifest, run through joblib's backends for Dask and Ray.

Each shard is a run of ``avfuse extract`` in a process of its own, on a machine that sees the same
files under the same names. It commits into the cache like any other run, so that a machine that is
lost costs the clips it held, and the same command again goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.extract.choices import EngineName
from pipeline.extract.job import ClipResult

# More shards than slots, so that a slot with short clips takes another; a shard starts in seconds.
SHARDS_A_SLOT = 4
LAST_WORDS = 2000  # characters of what a shard says that are looked through for its error


class EngineError(Exception):
    """Error of an engine that can't be reached, or of shards that ended without a report."""


@dataclass
class Engine:
    """Cluster that works on the shards of a run.

    Args:
        name: ``dask`` takes the cluster of ``DASK_SCHEDULER_ADDRESS``, ``ray`` that of
            ``RAY_ADDRESS``; where that isn't set, either makes one of this machine.
        command: arguments of ``avfuse extract`` that every shard is run with.
        folder: the folder from which relative paths of ``command`` start, on every machine.
        slots: shards at a time; None for as many as the cluster has cores.

    Attributes:
        peak_memory_bytes: of the largest process of any shard that has reported.
    """

    name: EngineName
    command: tuple[str, ...]
    folder: Path
    slots: int | None = None
    peak_memory_bytes: int = field(default=0, init=False)

    def map_clips(self, num_clips: int) -> Generator[ClipResult]:
        """Yield one result per clip, shard by shard in the order in which they finish.

        Raises:
            EngineError: see there. Shards that came to their end are yielded before.
        """
        from joblib import effective_n_jobs  # here, as it complains where /dev/shm is read-only

        lost: list[str] = []
        with ExitStack() as stack:
            _connect(self.name, stack)
            slots = self.slots or effective_n_jobs(-1)
            count = min(num_clips, slots * SHARDS_A_SLOT)
            parts = [f"{part}/{count}" for part in range(1, count + 1)]
            for report in self._reports(parts, slots):
                if "error" in report:
                    lost.append(report["error"])
                    continue
                self.peak_memory_bytes = max(self.peak_memory_bytes, report["peak_memory_bytes"])
                for row in report["clips"]:
                    yield ClipResult.from_json(row)
        if lost:
            raise EngineError(
                f"{len(lost)} of {len(parts)} shards ended without a report, such as {lost[0]}\n"
                "What they committed stays; run the same command again to go on."
            )

    def _reports(self, parts: Sequence[str], slots: int) -> Iterator[dict[str, Any]]:
        """Yield the shards' reports as they come, or all at the end where a backend can't."""
        from joblib import Parallel, delayed
        from joblib.parallel import get_active_backend

        streams = get_active_backend()[0].supports_return_generator
        how = "generator_unordered" if streams else "list"
        try:
            yield from Parallel(n_jobs=slots, batch_size=1, return_as=how)(
                delayed(run_shard)(self.command, self.folder, part) for part in parts
            )
        except Exception as error:  # each engine has its own for a machine that is lost
            raise EngineError(
                f"{self.name} failed: {type(error).__name__}: {error}\n"
                "What was committed stays; run the same command again to go on."
            ) from error


def run_shard(command: Sequence[str], folder: Path, part: str) -> dict[str, Any]:
    """Run ``avfuse extract`` on one shard, on whatever machine this is.

    Args:
        command: its arguments.
        folder: where relative paths start.
        part: the shard, as ``--shard`` takes it.

    Returns:
        Its report; where there is none, ``error`` with what it said last.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="avfuse-shard-") as own:
            report = Path(own) / "report.json"
            more = ("--shard", part, "--out", str(report))
            done = subprocess.run(
                [sys.executable, "-P", "-m", "pipeline", "extract", *command, *more],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                check=False,
            )
            if report.exists():
                found: dict[str, Any] = json.loads(report.read_text())
                return found
    except OSError as error:
        return {"error": f"shard {part}: {error}"}
    words = done.stderr[-LAST_WORDS:].strip().splitlines() or ["nothing was said"]
    return {"error": f"shard {part} (exit code {done.returncode}): {words[-1]}"}


def _connect(name: EngineName, stack: ExitStack) -> None:
    """Make an engine's cluster joblib's backend until the stack is left."""
    from joblib import parallel_config

    try:
        if name == "dask":
            from dask.distributed import Client

            stack.enter_context(Client())
        else:
            import ray
            from ray.util.joblib import register_ray

            ray.init(log_to_driver=False)
            stack.callback(ray.shutdown)
            register_ray()
    except ImportError as error:
        raise EngineError(
            f"--engine {name} needs a package: pip install 'avfuse[{name}]'"
        ) from error
    except (OSError, RuntimeError) as error:  # where nobody answers, or no folder is writable
        raise EngineError(f"--engine {name}: no cluster could be reached: {error}") from error
    stack.enter_context(parallel_config(backend=name))
