"""``make bench``: every ratio of both stages, one result file and a table.

    python -m benchmarks [--only stage-one,stage-two] [--full] [-o FILE.json]

Each suite is a module of its own that writes ``rows`` (see ``benchmarks.ratio``) and whatever
stands behind them. Stage one runs on the labelled clips below AVFUSE_TEST_DATA, or on a generated
corpus without them. No speed is asserted: a missed target is marked and the exit code is 0.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from benchmarks.machine import describe_machine, write_result
from benchmarks.ratio import format_rows

RESULTS = Path(__file__).parent / "results"
# Name -> module. Each takes ``-o FILE.json``.
SUITES = {
    "stage-one": "benchmarks.stage_one.ratios",
    "stage-two": "benchmarks.stage_two",
    "gpu": "benchmarks.gpu",
}
TAKES_FULL = ("stage-one",)


def measure(module: str, *arguments: object) -> dict[str, Any]:
    """Run one suite in a process of its own and return its result."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.json"
        command = [sys.executable, "-m", module, *map(str, arguments), "-o", str(out)]
        subprocess.run(command, check=True)
        result: dict[str, Any] = json.loads(out.read_text())
        return result


@click.command()
@click.option("--only", help=f"Some of {','.join(SUITES)}, separated by commas.")
@click.option("--full", is_flag=True, help="All labelled clips instead of every second one.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON file for the result.")
def main(only: str | None, full: bool, out: Path | None) -> None:
    """Measure both stages and write benchmarks/results/<date>-<host>.json."""
    names = only.split(",") if only else list(SUITES)
    for name in names:
        if name not in SUITES:
            raise click.UsageError(f"no suite {name!r}; there are {', '.join(SUITES)}")
    machine = describe_machine()
    result: dict[str, Any] = {"machine": machine}
    for name in names:
        started = time.monotonic()
        arguments = ["--full"] if full and name in TAKES_FULL else []
        result[name] = measure(SUITES[name], *arguments)
        result[name]["seconds"] = round(time.monotonic() - started, 1)
    out = out or RESULTS / f"{machine['date'][:10]}-{machine['host']}.json"
    write_result(out, result)
    rows = [row for name in names for row in result[name]["rows"] if "measured" in row]
    click.echo(f"\n{format_rows(rows)}\n\n{out}")


if __name__ == "__main__":
    main()
