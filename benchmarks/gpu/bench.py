"""A run of parts, each in a process of its own, with every figure on the disk at once.

A GPU that is lent for minutes may be taken away at any moment, and a part may crash its process or
hang: what was measured before stays, and the other parts go on.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import click

from cache.commit import write_whole

# A part that is still at work after so many times its budget is ended.
PATIENCE = 1.5


@dataclass(frozen=True)
class Bench:
    """Choices that all parts share.

    Args:
        manifest: real clips.
        folder: where parts work; one finds what another has left.
        device: ``cuda``, ``cuda:N``, or ``cpu`` for a rehearsal.
        precision: of the networks in stage one: ``fp32``, ``bf16`` or ``fp16``.
        jobs: worker processes; None is one per core.
        budget: seconds that a part plans with.
    """

    manifest: Path
    folder: Path
    device: str
    precision: str
    jobs: int | None
    budget: float

    @property
    def on_gpu(self) -> bool:
        """Whether this is no rehearsal."""
        return self.device != "cpu"


# Yields what is measured, as soon as it is: keys of the part's result; "rows" are added up.
Part = Callable[[Bench], Iterator[dict[str, Any]]]


def run_parts(
    parts: Mapping[str, Part], bench: Bench, result: dict[str, Any], out: Path | None
) -> list[str]:
    """Measure parts one after the other into ``result["parts"]``, and write it after each figure.

    Args:
        parts: by name; functions that a new process can import.
        bench: choices for all of them.
        result: what stands in the file already.
        out: the file; None writes none.

    Returns:
        The parts that failed; what they had measured, and why they failed, is in the result.
    """
    result["parts"] = {}
    for name, part in parts.items():
        started = time.monotonic()
        found: dict[str, Any] = {"rows": []}
        result["parts"][name] = found
        for update in _measure(part, bench):
            found["rows"] += update.pop("rows", [])
            found.update(update)
            found["seconds"] = round(time.monotonic() - started, 1)
            if out:
                write_whole(out, json.dumps(result, indent=2) + "\n", what="the result")
        click.echo(f"{name}: {found.get('error') or 'done'} ({found.get('seconds', 0)} s)")
    return [name for name, found in result["parts"].items() if "error" in found]


def _measure(part: Part, bench: Bench) -> Iterator[dict[str, Any]]:
    """Yield what a part measures, and at the end of one that fails why it did."""
    context = multiprocessing.get_context("spawn")
    link, other = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(part, bench, other))
    process.start()
    other.close()
    deadline = time.monotonic() + PATIENCE * bench.budget
    try:
        while True:
            if not link.poll(max(0.0, deadline - time.monotonic())):
                yield {"error": f"ended after {PATIENCE * bench.budget:.0f} s, its budget exceeded"}
                return
            update = link.recv()
            if update is None:
                return
            yield update
            if "error" in update:
                return
    except EOFError:
        process.join()
        yield {"error": f"its process died (exit code {process.exitcode})"}
    finally:
        # With all that it started: a worker left over would be measured with the next part.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid or 0, signal.SIGKILL)
        process.kill()
        process.join()


def _work(part: Part, bench: Bench, link: Connection) -> None:
    """Measure a part and send what it yields: what its process does."""
    os.setsid()
    try:
        for update in part(bench):
            link.send(update)
        link.send(None)
    except Exception as error:  # noqa: BLE001 - it is told, and the other parts go on
        traceback.print_exc()
        link.send({"error": f"{type(error).__name__}: {error}"})
