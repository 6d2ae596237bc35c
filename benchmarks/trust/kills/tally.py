"""Count of kills and of what they cost, kept in a file from one sitting to the next."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scipy.stats import beta

from benchmarks.machine import describe_machine
from benchmarks.trust.kills.launcher import ROOT
from cache.commit import write_whole

CONFIDENCE = 0.95
MOST_FAULTS_TOLD = 50


@dataclass
class Tally:
    """Counts of one kind of operation.

    Args:
        name: of the operation.
        counts: what was counted, by name.
        faults: a line for each broken promise.
    """

    name: str
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, what: str, number: int = 1) -> None:
        """Count something that is as it should be."""
        self.counts[what] += number

    def fault(self, what: str) -> None:
        """Note a broken promise, with the kill after which it was found."""
        self.counts["faults"] += 1
        self.faults.append(f"{self.name}, start {self.counts['starts']}: {what}")


class Ledger:
    """Counts of all operations over all sittings, in one file that is written whole.

    Args:
        path: the file; what it holds is added to. None keeps nothing.
        seed: of the moments. Other moments go into another file.

    Raises:
        ValueError: the file is of another seed.
    """

    def __init__(self, path: Path | None, seed: int) -> None:
        self.path = path
        self.seed = seed
        self.seeds: list[int] = []
        self.tallies: dict[str, Tally] = {}
        self.sittings: list[dict[str, Any]] = []
        if path is not None and path.exists():
            self.add(path)
        if self.seeds and seed not in self.seeds:
            raise ValueError(f"{path} is of seed {self.seeds[0]}, not {seed}; name another")
        self.seeds = self.seeds or [seed]
        self._started = time.monotonic()
        self._sitting = {**describe_machine(), "commit": _commit(), "kills": 0, "seconds": 0}
        self.sittings.append(self._sitting)

    def add(self, path: Path) -> None:
        """Add what another file holds, such as that of a second core.

        Raises:
            ValueError: it is of the same moments.
        """
        there = json.loads(path.read_text())
        if again := set(there["seeds"]) & set(self.seeds):
            raise ValueError(f"{path} is of seed {again.pop()}, which is counted already")
        self.seeds += there["seeds"]
        self.sittings = [*there["sittings"], *self.sittings]
        for name, counts in there["operations"].items():
            self.tally(name).counts.update(counts)
        for line in there["faults"]:
            self.tally(line.partition(",")[0]).faults.append(line)

    @property
    def kills(self) -> int:
        """Kills of all sittings."""
        return sum(tally.counts["kills"] for tally in self.tallies.values())

    @property
    def faults(self) -> list[str]:
        """Every broken promise of all sittings."""
        return [line for tally in self.tallies.values() for line in tally.faults]

    def tally(self, name: str) -> Tally:
        """Return the counts of an operation."""
        return self.tallies.setdefault(name, Tally(name))

    def to_json(self) -> dict[str, Any]:
        """Return the contents of the file."""
        totals: Counter[str] = Counter()
        for tally in self.tallies.values():
            totals.update(tally.counts)
        kills, broken = totals["kills"], totals["kills_with_a_fault"]
        return {
            "command": "python -m benchmarks.trust.torture --kills N --folder NEW --results FILE",
            "kills": kills,
            "kills_with_a_fault": broken,
            "confidence": CONFIDENCE,
            "at_most_so_many_of_all_kills_break_a_promise": upper_bound(broken, kills),
            "seeds": self.seeds,
            "all": dict(sorted(totals.items())),
            "operations": {
                name: dict(sorted(tally.counts.items())) for name, tally in self.tallies.items()
            },
            "faults": self.faults[:MOST_FAULTS_TOLD],
            "sittings": self.sittings,
        }

    def keep(self) -> None:
        """Write the file, complete or not at all."""
        others = sum(one["kills"] for one in self.sittings if one is not self._sitting)
        self._sitting["kills"] = self.kills - others
        self._sitting["seconds"] = round(time.monotonic() - self._started)
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self.path, json.dumps(self.to_json(), indent=2) + "\n")


def upper_bound(broken: int, kills: int) -> float | None:
    """Return the largest share of kills that break a promise which the counts leave credible.

    The one-sided exact bound of Clopper and Pearson at ``CONFIDENCE``; where none did, about
    3 / ``kills``: the rule of three. None without kills.
    """
    if not kills:
        return None
    return (
        round(float(beta.ppf(CONFIDENCE, broken + 1, kills - broken)), 6) if broken < kills else 1.0
    )


def _commit() -> str:
    """Return the commit of the code, marked where files differ from it; empty without git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()
