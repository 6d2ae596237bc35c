"""Networks, encoders and detectors, loaded once per process and held against the plan's digest."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from extractors.running.face_network import FaceNetwork, load_face_network
from extractors.running.frozen_alexnet import FrozenEncoder, load_frozen_alexnet
from pipeline.extract.plan import Plan, PlannedSet
from pipeline.extract.settings import StageOneSettings
from pipeline.extract.weights import FileState, WeightsChoice
from pipeline.faces.detect import Detector
from pipeline.faces.second import load_second
from pipeline.workers.error import MachineError
from pipeline.workers.remote import Network, RemoteNetwork, is_connected


def use_network(planned: PlannedSet, plan: Plan) -> Network:
    """Return a network: the consumer's where this process has one, else one loaded here."""
    return RemoteNetwork(planned.name) if is_connected() else load_here(planned, plan)


def load_here(planned: PlannedSet, plan: Plan) -> FaceNetwork:
    """Load a network once per process.

    A weight file that is the one that the plan digested isn't digested again.

    Raises:
        MachineError: its weights are not those of the plan, or can't be loaded any more.
    """
    with _planned(planned):
        network = _load(
            planned.name,
            planned.choice or WeightsChoice(),
            plan.settings,
            plan.device,
            plan.batch_size,
            planned.spec.weights,
            planned.seen,
        )
        if network.weights_digest != planned.spec.weights:
            raise ValueError(f"{planned.choice} changed since the run began")
    return network


def use_second(planned: PlannedSet, plan: Plan) -> Detector | None:
    """Load the second detector of the faces, once per process; None where none is asked for.

    Raises:
        MachineError: as ``load_here``.
    """
    model, digest = planned.choice, planned.spec.weights
    if model is None or model.file is None or digest is None:
        return None
    with _planned(planned):
        return load_second(plan.settings.faces.second, model.file, digest)


def use_encoder(planned: PlannedSet, plan: Plan) -> FrozenEncoder:
    """Load a trained encoder once per process.

    Raises:
        MachineError: as ``load_here``.
    """
    choice = planned.choice or WeightsChoice()
    if choice.file is None:
        raise ValueError(f"{planned.name} has no checkpoint")
    with _planned(planned):
        encoder = _load_encoder(choice.file, plan.device, planned.spec.weights)
        if encoder.digest != planned.spec.weights:
            raise ValueError(f"{choice.file} changed since the run began")
    return encoder


@contextlib.contextmanager
def _planned(planned: PlannedSet) -> Iterator[None]:
    """Take errors of loading for the machine's: when the run was planned, the file was right."""
    try:
        yield
    except Exception as error:
        raise MachineError(f"the weights of {planned.name} can't be loaded: {error}") from error


# The digest that the plan has: where a file was replaced since an earlier run of this process, it
# is loaded anew.
@lru_cache(maxsize=2)
def _load_encoder(path: Path, device: str, digest: str | None) -> FrozenEncoder:
    del digest
    return load_frozen_alexnet(path, device=device)


@lru_cache(maxsize=8)
def _load(
    name: str,
    choice: WeightsChoice,
    settings: StageOneSettings,
    device: str,
    batch_size: int,
    digest: str | None,
    seen: FileState | None,
) -> FaceNetwork:
    load = functools.partial(
        load_face_network,
        name,
        choice.file,
        settings.network,
        seed=choice.seed,
        device=device,
        batch_size=batch_size,
    )
    if seen and choice.look() == seen:
        network = load(examined=digest)
        if choice.look() == seen:  # nor was it replaced while it was read
            return network
    return load()
