"""Networks, encoders and detectors, loaded once per process and held against the plan's digest."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from extractors.plugins import NETWORKS as PLUGINS
from extractors.plugins import PLUGIN, check_recorded
from extractors.running.face_network import FaceNetwork, load_face_network
from extractors.running.frozen_alexnet import FrozenEncoder, load_frozen_alexnet
from pipeline.extract.plan import Plan, PlannedSet
from pipeline.extract.settings import StageOneSettings
from pipeline.extract.weights import FileState, WeightsChoice
from pipeline.faces.detect import Detector, FivePointPredictor, hog
from pipeline.faces.recogniser import DlibRecogniser, load_recogniser
from pipeline.faces.regions import LEVELS
from pipeline.faces.second import load_second
from pipeline.faces.settings import FaceSettings
from pipeline.media.machine import MACHINE_FAULTS
from pipeline.workers.error import MEMORY, MachineError, kind_of_fault
from pipeline.workers.remote import Network, RemoteNetwork, is_connected


def use_network(planned: PlannedSet, plan: Plan) -> Network:
    """Return a network: the consumer's where this process has one, else one loaded here."""
    return RemoteNetwork(planned.name) if is_connected() else load_here(planned, plan)


def load_here(planned: PlannedSet, plan: Plan) -> FaceNetwork:
    """Load a network once per process.

    A weight file that is the one that the plan digested isn't digested again.

    Raises:
        MachineError: its weights or its plug-in are not those of the plan, or can't be loaded any
            more.
    """
    with _loading(f"the weights of {planned.name}"):
        recorded = planned.spec.settings.get(PLUGIN)  # another machine may have another version
        check_recorded(PLUGINS, planned.name, recorded if isinstance(recorded, Mapping) else None)
        return _load(
            planned.name,
            planned.choice or WeightsChoice(),
            plan.settings,
            plan.device,
            plan.batch_size,
            planned.spec.weights,
            planned.seen,
        )


def use_detector(settings: FaceSettings) -> None:
    """Load dlib's face detector and landmarks, once per process.

    Raises:
        MachineError: their files are missing, or of another dlib.
    """
    with _loading("dlib's face detector"):
        hog(0 if settings.ladder == "papers" else LEVELS)
        FivePointPredictor()


def use_second(planned: PlannedSet, plan: Plan) -> Detector | None:
    """Load the second detector of the faces, once per process; None where none is asked for.

    Raises:
        MachineError: as ``load_here``.
    """
    model, digest = planned.choice, planned.spec.weights
    if model is None or model.file is None or digest is None:
        return None
    with _loading(f"the weights of {planned.name}"):
        return load_second(plan.settings.faces.second, model.file, digest)


def use_recogniser(plan: Plan) -> DlibRecogniser | None:
    """Load the face recogniser, once per process; None where no identities are asked for.

    Raises:
        MachineError: as ``load_here``.
    """
    for planned in plan.of_kind("identity"):
        model, digest = planned.choice, planned.spec.weights
        if model is not None and model.file is not None and digest is not None:
            with _loading("dlib's face recogniser"):
                return load_recogniser(model.file, digest)
    return None


def use_encoder(planned: PlannedSet, plan: Plan) -> FrozenEncoder:
    """Load a trained encoder once per process.

    Raises:
        MachineError: as ``load_here``.
    """
    choice = planned.choice or WeightsChoice()
    if choice.file is None:
        raise ValueError(f"{planned.name} has no checkpoint")
    with _loading(f"the weights of {planned.name}"):
        return _load_encoder(choice.file, plan.device, planned.spec.weights)


@contextlib.contextmanager
def _loading(what: str) -> Iterator[None]:
    """Take errors of loading for the machine's: when the run was planned, the file was right.

    Raises:
        MachineError: it can't be loaded, by no process.
    """
    try:
        yield
    except Exception as error:
        if kind_of_fault(error) == MEMORY or getattr(error, "errno", None) in MACHINE_FAULTS:
            raise  # of this moment
        raise MachineError(f"{what} can't be loaded: {error}") from error


def _check_digest(found: str, planned: str | None, file: object) -> None:
    """Refuse other weights than the plan's, before anything keeps them."""
    if found != planned:
        raise ValueError(
            f"{file} changed since the run began; put the file back, or begin anew with this one"
        )


@lru_cache(maxsize=2)
def _load_encoder(path: Path, device: str, digest: str | None) -> FrozenEncoder:
    encoder = load_frozen_alexnet(path, device=device)
    _check_digest(encoder.digest, digest, path)
    return encoder


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
    network = load()
    _check_digest(network.weights_digest, digest, choice)
    return network
