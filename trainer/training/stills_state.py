"""The state of an unfinished fine-tuning, in memory and on disk."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from cache.commit import write_whole
from trainer.training.optim import load_optimiser_tensors, optimiser_tensors

FORMAT = "avfuse finetuning 1"


class StateError(ValueError):
    """The state of an unfinished training can't be used; the text says why."""


class TrainingState:
    """What changes in the course of a training.

    Args:
        module: the parameters that are trained.
        optimiser: theirs.
        ema: decay per update of the averaged parameters; 0 averages nothing.

    Attributes:
        update: updates done.
        loss_sum: of the epoch so far.
        history: one row an epoch.
        scaler: the loss's scale, of half precision on a GPU.
    """

    def __init__(self, module: nn.Module, optimiser: torch.optim.Optimizer, ema: float) -> None:
        self.module = module
        self.optimiser = optimiser
        self.ema = ema
        self.update = 0
        self.loss_sum = 0.0
        self.history: list[dict[str, Any]] = []
        self.scaler: dict[str, Any] = {}
        self.mean = {name: value.detach().clone() for name, value in self._floats().items()}

    def average(self) -> None:
        """Take the present parameters into the mean; sooner while there are few of them."""
        decay = min(self.ema, self.update / (10 + self.update)) if self.ema else 0.0
        with torch.no_grad():
            for name, value in self._floats().items():
                self.mean[name].lerp_(value, 1 - decay)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the mean in the place of the parameters for a while."""
        kept = {name: value.detach().clone() for name, value in self._floats().items()}
        self._set(self.mean)
        try:
            yield
        finally:
            self._set(kept)

    def keep_average(self) -> None:
        """Put the mean in the place of the parameters for good."""
        self._set(self.mean)

    def _floats(self) -> dict[str, Tensor]:
        """Parameters and the norms' statistics."""
        return {
            name: value
            for name, value in self.module.state_dict().items()
            if value.is_floating_point()
        }

    def _set(self, values: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, value in self._floats().items():
                value.copy_(values[name])


def save_state(path: Path, identity: str, state: TrainingState) -> None:
    """Write the state of a training, whole or not at all.

    Args:
        path: the file; replaced.
        identity: digest of what decides the training's result.
        state: what to write.

    Raises:
        OSError: the file can't be written.
    """
    tensors = {f"module/{name}": value for name, value in state.module.state_dict().items()}
    tensors |= {f"mean/{name}": value for name, value in state.mean.items()}
    optimiser = optimiser_tensors(state.module, state.optimiser)
    tensors |= {f"optimiser/{name}": value for name, value in optimiser.items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    facts = {
        "format": FORMAT,
        "identity": identity,
        "update": state.update,
        "loss_sum": state.loss_sum.hex(),
        "history": state.history,
        "scaler": state.scaler,
    }
    write_whole(path, safetensors.torch.save(tensors, {"avfuse": json.dumps(facts)}))


def read_facts(path: Path) -> dict[str, Any]:
    """Read what a state says of itself: identity, updates done and history.

    Raises:
        StateError: the file is damaged, or no state of a fine-tuning.
        OSError: the file can't be read.
    """
    with _opened(path) as (_, facts):
        form = facts.get("format")
    if form != FORMAT:
        raise StateError(f"{path} is not the state of a fine-tuning that this version can read")
    return facts


def load_state(path: Path, identity: str, state: TrainingState) -> None:
    """Go back to a state that ``save_state`` wrote.

    Raises:
        StateError: the file is damaged, or of another training: other settings, images or weights.
        OSError: the file can't be read.
    """
    with _opened(path) as (file, facts):
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    if facts.get("format") != FORMAT or facts.get("identity") != identity:
        raise StateError(
            f"{path} is the state of another training: its settings, images or first weights "
            "differ from these; choose another folder, or delete it to start anew"
        )
    parts: dict[str, dict[str, Tensor]] = {"module": {}, "mean": {}, "optimiser": {}}
    for name, value in tensors.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = value
    device = next(state.module.parameters()).device
    state.module.load_state_dict(parts["module"])
    state.mean = {name: value.to(device) for name, value in parts["mean"].items()}
    load_optimiser_tensors(
        state.module,
        state.optimiser,
        {name: value.to(device) for name, value in parts["optimiser"].items()},
    )
    state.update = int(facts["update"])
    state.loss_sum = float.fromhex(facts["loss_sum"])
    state.history = list(facts["history"])
    state.scaler = dict(facts.get("scaler", {}))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Open the file of a state, with what it says of itself."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            yield file, json.loads((file.metadata() or {}).get("avfuse", "{}"))
    except (SafetensorError, ValueError) as error:
        raise StateError(
            f"{path} is damaged ({error}); delete it to start the training anew"
        ) from error
