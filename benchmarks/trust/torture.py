"""Kill avfuse at random moments, thousands of times, and see that nothing committed is lost.

    python -m benchmarks.trust.torture --kills 3000 --folder /tmp/torture --results kills.json

Extraction (in one process, with one worker and two, with a shared network), training, a sweep,
fine-tuning, an import, building of packs and garbage collection are killed in turn by SIGKILL: all
processes of a run, its first alone, or one worker alone. After each kill everything that was
committed before is compared byte for byte and verified, and no process of the run may live on.
Between kills the same command goes on; when a run comes to its end, what it left is compared with
what an undisturbed one left, and a new round begins.

The counts are written to the file of results after each kill. Ctrl-C, or a kill of this script,
costs nothing of them: the same command goes on until there were enough. A second Ctrl-C doesn't
wait for the end of the round.
"""

from __future__ import annotations

import json
import random
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.trust.kills.extract import (
    Extract,
    ExtractWithOneWorker,
    ExtractWithSharedNetwork,
    ExtractWithTwoWorkers,
)
from benchmarks.trust.kills.launcher import HangingError, Launcher, children_of, kill, kill_group
from benchmarks.trust.kills.operation import Moment, Operation, draw_moment
from benchmarks.trust.kills.runs import Finetune, Sweep, SweepOnTwoProcesses, Train
from benchmarks.trust.kills.tally import Ledger, Tally
from benchmarks.trust.kills.upkeep import CollectGarbage, Import, Pack
from cache.signals import StopRequest

MARKER = "torture.json"  # in a folder that this script may empty
# Kills of each operation in turn; 100 in all. Those with workers take longest.
TURNS: Mapping[type[Operation], int] = {
    Extract: 20,
    ExtractWithOneWorker: 6,
    ExtractWithTwoWorkers: 6,
    ExtractWithSharedNetwork: 4,
    Train: 14,
    Sweep: 10,
    SweepOnTwoProcesses: 4,
    Finetune: 12,
    Import: 10,
    Pack: 7,
    CollectGarbage: 7,
}


def torture(
    folder: Path,
    ledger: Ledger,
    *,
    kills: int,
    turns: Mapping[type[Operation], int] = TURNS,
    stop: StopRequest | None = None,
) -> None:
    """Kill operations in turn until there were enough kills in all sittings.

    Args:
        folder: for all that is made; what it holds of an earlier sitting goes.
        ledger: counts.
        kills: how many, with those that the ledger has.
        turns: operation to its kills in a turn.
        stop: asked after each kill.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prepared: dict[type[Operation], Operation] = {}
    with Launcher(folder / "output.txt") as launcher:
        while ledger.kills < kills and not (stop and stop.asked()):
            kind, left = _whose_turn(ledger.kills, turns)
            if kind not in prepared:
                prepared[kind] = kind(folder / kind.__name__)
                prepared[kind].prepare(launcher)
            turn = Turn(prepared[kind], ledger, launcher)
            turn.take(min(left, kills - ledger.kills), stop)


def _whose_turn(kills: int, turns: Mapping[type[Operation], int]) -> tuple[type[Operation], int]:
    """Return the operation to kill after so many kills, and how often until the next's turn."""
    left = kills % sum(turns.values())
    for kind, number in turns.items():
        if left < number:
            return kind, number - left
        left -= number
    raise AssertionError


@dataclass
class Turn:
    """Kills of one operation, one after another.

    Args:
        operation: prepared.
        ledger: counts.
        launcher: starts its runs.
    """

    operation: Operation
    ledger: Ledger
    launcher: Launcher

    @property
    def tally(self) -> Tally:
        """The operation's counts."""
        return self.ledger.tally(self.operation.name)

    def take(self, kills: int, stop: StopRequest | None) -> None:
        """Kill the operation's runs so often, then let one go to its end."""
        begun = self.tally.counts["kills"]
        while self.tally.counts["kills"] - begun < kills and not (stop and stop.asked()):
            faults = self.tally.counts["faults"]
            self.tally.add("starts")
            killed = self._start_and_kill()
            self.tally.add("kills_with_a_fault", self.tally.counts["faults"] > faults and killed)
            self.ledger.keep()
        pid = self.launcher.start(self.operation.command(self.operation.at))
        self._await_end(pid)
        self._end_round()
        self.ledger.keep()

    def _start_and_kill(self) -> bool:
        """Start a run and kill it, or a part of it; returns whether there was anything to kill."""
        operation, tally = self.operation, self.tally
        moment = draw_moment(
            self.ledger.seed, operation.name, tally.counts["starts"], operation.targets
        )
        eager = moment.number % 2 == 0
        pid = self.launcher.start(operation.command(operation.at), eager=eager)
        operation.await_moment(moment, pid)
        worker = _choose_worker(pid, moment) if moment.target == "worker" else None
        if worker is not None:
            kill(worker)
            tally.add("kills")
            tally.add("kills_of_one_worker")
            if self._await_end(pid, bereft=True):
                operation.check(tally)
                self._end_round()
            else:
                operation.check(tally)
            return True
        if moment.target == "parent":
            kill(pid)
        else:
            kill_group(pid)
        killed = self._await_killed(pid)
        if killed:
            tally.add("kills")
            tally.add("kills_of_the_parent_alone", moment.target == "parent")
        else:
            tally.add("ended_before_the_kill")
        operation.check(tally)
        if not killed:
            self._end_round()
        return killed

    def _await_killed(self, pid: int) -> bool:
        """Wait for the end of all processes of a run; False if it had ended before its kill."""
        code = self._wait(pid)
        for survivor in self.launcher.outlast():
            self.tally.fault(f"process {survivor} outlived its run's first by 5 s")
        if code not in (0, -signal.SIGKILL):
            self.tally.fault(f"ended by itself with {code}: {self._output()}")
        return code == -signal.SIGKILL

    def _await_end(self, pid: int, *, bereft: bool = False) -> bool:
        """Wait for a run to end by itself; returns whether it came to its end.

        Args:
            pid: of the run.
            bereft: whether one of its workers was killed.
        """
        code = self._wait(pid)
        for survivor in self.launcher.outlast():
            self.tally.fault(f"process {survivor} outlived its run by 5 s")
        if code == 1 and bereft and not self.operation.survives:
            return False
        if code != 0:
            lost = "after a worker was killed it " if bereft else "the last run "
            self.tally.fault(f"{lost}ended with {code}: {self._output()}")
        return code == 0

    def _end_round(self) -> None:
        """Compare what a whole run left, and begin anew."""
        operation, tally = self.operation, self.tally
        operation.check(tally)
        operation.compare(tally)
        tally.add("rounds_compared")
        operation.begin()

    def _wait(self, pid: int) -> int:
        try:
            return self.launcher.wait()
        except HangingError as error:
            self.tally.fault(f"hangs: {error}: {self._output()}")
            kill_group(pid)
            return self.launcher.wait()

    def _output(self) -> str:
        output = self.launcher.output
        return output.read_text(errors="replace")[-2000:] if output and output.exists() else ""


def _choose_worker(pid: int, moment: Moment) -> int | None:
    workers = children_of(pid)
    return random.Random(moment.number).choice(workers) if workers else None  # noqa: S311


@click.command()
@click.option("--kills", default=300, show_default=True, help="Kills of all sittings together.")
@click.option("--seed", default=0, show_default=True, help="Seed of the moments.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="A new folder, or that of an earlier sitting.",
)
@click.option(
    "--results",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of the counts, which are added up over sittings (default: in the folder).",
)
@click.option(
    "--add",
    "others",
    multiple=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File of the counts of another seed, made on another core or machine, to add.",
)
def main(
    kills: int, seed: int, folder: Path, results: Path | None, others: tuple[Path, ...]
) -> None:
    """Kill avfuse many times and print what was lost as JSON."""
    if folder.exists() and any(folder.iterdir()) and not (folder / MARKER).exists():
        raise click.UsageError(f"{folder} holds other files; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).touch()
    ledger = Ledger(results or folder / "results.json", seed)
    for other in others:
        ledger.add(other)
    ledger.keep()
    stop = StopRequest()
    with stop.noted(), stop.breaks_off(at=2):
        torture(folder, ledger, kills=kills, stop=stop)
    click.echo(json.dumps(ledger.to_json(), indent=2))
    sys.exit(1 if ledger.faults else 0)


if __name__ == "__main__":
    main()
