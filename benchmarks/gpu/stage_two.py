"""Part ``stage-two``: 36 heads as one stack, against one after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks.gpu.bench import Bench
from benchmarks.stage_two.ratios import run_parts


def measure(bench: Bench) -> Iterator[dict[str, Any]]:
    """Yield what ``python -m benchmarks.stage_two --only stack`` does."""
    yield run_parts(["stack"], device=bench.device)
