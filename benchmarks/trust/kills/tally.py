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
    """

    def __init__(self, path: Path | None, seed: int) -> None:
        self.path = path
        self.seed = seed
        self.tallies: dict[str, Tally] = {}
        self.sittings: list[dict[str, Any]] = []
        if path is not None and path.exists():
            there = json.loads(path.read_text())
            if there["seed"] != seed:
                raise ValueError(f"{path} is of seed {there['seed']}, not {seed}; name another")
            self.sittings = there["sittings"]
            for name, counts in there["operations"].items():
                self.tally(name).counts.update(counts)
            for line in there["faults"]:
                self.tally(line.partition(",")[0]).faults.append(line)
        self._started = time.monotonic()
        self._before = self.kills
        self.sittings.append({**describe_machine(), "commit": _commit(), "kills": 0, "seconds": 0})

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
            "seed": self.seed,
            "all": dict(sorted(totals.items())),
            "operations": {
                name: dict(sorted(tally.counts.items())) for name, tally in self.tallies.items()
            },
            "faults": self.faults[:MOST_FAULTS_TOLD],
            "sittings": self.sittings,
        }

    def keep(self) -> None:
        """Write the file, complete or not at all."""
        self.sittings[-1]["kills"] = self.kills - self._before
        self.sittings[-1]["seconds"] = round(time.monotonic() - self._started)
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
