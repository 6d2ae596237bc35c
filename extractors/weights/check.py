"""Check of a weight file: the network that it fits, and the facts in its header.

PyTorch is loaded only for a file that looks like one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from extractors.networks import NETWORKS
from extractors.weights.error import WeightsError
from extractors.weights.kind import find_kind

if TYPE_CHECKING:
    from extractors.weights.facts import WeightFacts
    from extractors.weights.identify import Match
    from extractors.weights.load import WeightsReport


@dataclass(frozen=True)
class Checked:
    """Result of checking a weight file.

    Attributes:
        file: the file.
        matches: how well it fits each network, the best first; empty if it can't be read.
        report: of loading it into the best one; None if it does not load.
        facts: what a fine-tuned file says of itself; None for others.
        problem: the reason why it does not load; empty if it does.
    """

    file: Path
    matches: tuple[Match, ...] = ()
    report: WeightsReport | None = None
    facts: WeightFacts | None = None
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON types, with every network's match."""
        result: dict[str, Any] = {
            "file": str(self.file),
            "network": None,
            "digest": None,
            "problem": self.problem or None,
        }
        if self.report is not None:
            result |= {
                "network": self.matches[0].network,
                "digest": self.report.digest,
                "kind": self.report.kind,
                "unwrapped": list(self.report.unwrapped),
                "metadata": dict(self.report.metadata),
            }
        result["candidates"] = [
            asdict(match) | {"matched": len(match.matched), "share": match.share}
            for match in self.matches
        ]
        return result


def check_weights(file: Path) -> Checked:
    """Find the network that a weight file fits and load it; what goes wrong is in the result."""
    try:
        find_kind(file)
    except (WeightsError, OSError) as error:
        return Checked(file, problem=str(error))
    from extractors.weights.facts import read_facts
    from extractors.weights.identify import identify
    from extractors.weights.load import load_weights

    matches: tuple[Match, ...] = ()
    try:
        matches = tuple(identify(file))
        if not matches[0].fits:
            return Checked(file, matches, problem=f"{file} fits no network")
        report = load_weights(NETWORKS[matches[0].network].build(), file)
        facts = read_facts(report.metadata, file)  # what it says of itself has to hold too
    except (WeightsError, OSError) as error:
        return Checked(file, matches, problem=str(error))
    return Checked(file, matches, report, facts)
