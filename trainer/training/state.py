"""Unfinished training on disk, so that a killed one continues with the same result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from cache.commit import write_whole
from trainer.training.identity import check_identity
from trainer.training.optim import load_optimiser_tensors, optimiser_tensors
from trainer.training.trained import open_tensors

FORMAT = "avfuse training 3"


class StateError(ValueError):
    """A file that is not the state of an unfinished training, or a damaged one."""


@dataclass(frozen=True)
class Unfinished:
    """A training on its way, and the file that keeps it.

    Parameters, optimiser and mean are tensors named ``<part>/<name>``. The identity and what the
    training says of its progress are JSON in the file's metadata under ``avfuse``.

    Args:
        path: the file; None keeps nothing.
        identity: see ``trainer.training.identity``.
        module: the parameters that are trained.
        optimiser: theirs.
        mean: averaged parameters by name, kept along; empty without averaging.
    """

    path: Path | None
    identity: str
    module: nn.Module
    optimiser: torch.optim.Optimizer
    mean: Mapping[str, Tensor] = field(default_factory=dict)

    def keep(self, progress: Mapping[str, Any]) -> None:
        """Write where the training stands, complete or not at all, replacing what was kept.

        Args:
            progress: how far it is, as JSON values by name.

        Raises:
            OSError: the file can't be written.
        """
        if self.path is None:
            return
        parts = {
            "module": self.module.state_dict(),
            "optimiser": optimiser_tensors(self.module, self.optimiser),
            "mean": self.mean,
        }
        tensors = {
            f"{part}/{name}": value.detach().cpu().contiguous()
            for part, values in parts.items()
            for name, value in values.items()
        }
        facts = {"format": FORMAT, "identity": self.identity, "progress": dict(progress)}
        write_whole(self.path, safetensors.torch.save(tensors, {"avfuse": json.dumps(facts)}))

    def resume(self) -> dict[str, Any] | None:
        """Put parameters, optimiser and mean where the file has them.

        Returns:
            The progress that was kept; None if nothing was.

        Raises:
            StateError: the file is damaged, or no state that this version can read.
            OtherTrainingError: it belongs to a training with another identity.
            OSError: it can't be read.
        """
        if self.path is None or not self.path.exists():
            return None
        facts, tensors = _read(self.path, values=True)
        check_identity(self.path, facts["identity"], self.identity)
        parts: dict[str, dict[str, Tensor]] = {"module": {}, "optimiser": {}, "mean": {}}
        for full_name, value in tensors.items():
            part, _, name = full_name.partition("/")
            parts[part][name] = value
        self.module.load_state_dict(parts["module"])
        load_optimiser_tensors(self.module, self.optimiser, parts["optimiser"])
        for name, value in self.mean.items():
            value.copy_(parts["mean"][name])
        return dict(facts["progress"])


def read_progress(path: Path, identity: str) -> dict[str, Any]:
    """Read how far an unfinished training is, without its tensors.

    Raises:
        StateError, OtherTrainingError, OSError: as ``Unfinished.resume``.
    """
    facts, _ = _read(path, values=False)
    check_identity(path, facts["identity"], identity)
    return dict(facts["progress"])


def _read(path: Path, *, values: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the facts of a state, with its tensors if ``values``."""
    try:
        with open_tensors(path) as (file, facts):
            names = file.keys() if values else ()
            tensors = {name: file.get_tensor(name) for name in names}
    except ValueError as error:
        raise StateError(
            f"{path} is damaged ({error}); delete it to start the training anew"
        ) from error
    if facts.get("format") != FORMAT:
        raise StateError(
            f"{path} is not the state of a training that this version can read: its format is "
            f"{facts.get('format')!r}, expected {FORMAT!r}; delete it to start the training anew"
        )
    return facts, tensors
