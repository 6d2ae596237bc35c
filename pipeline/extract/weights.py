"""Choice of the weights that a run's networks, encoders and detectors are given.

What a command line says is read and refused here before PyTorch is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from cache.settings import listed
from extractors.networks import NETWORKS
from extractors.weights.kind import find_kind
from pipeline.faces.settings import DETECTORS

DEFAULT = "default"  # in place of a weight file's name: the one that avfuse ships
ALEXNET = "alexnet"  # grids of the audio encoder of a trained head


# Device, inode, bytes, and when content and inode last changed: a file with the same is unchanged.
FileState: TypeAlias = tuple[int, int, int, int, int]


class PlanError(ValueError):
    """The sets, weights or settings asked for do not fit together."""


@dataclass(frozen=True)
class WeightsChoice:
    """Source of a network's parameters: a file, which may be ours, or a seed for random ones.

    Attributes:
        file: of the parameters; None draws random ones.
        seed: of random ones.
        default: whether ``file`` is the one that avfuse ships, wherever it is installed.
    """

    file: Path | None = None
    seed: int = 0
    default: bool = False

    def look(self) -> FileState | None:
        """Look what the file's system says of it now; None without a file, or if it is gone."""
        try:
            found = self.file.stat() if self.file else None
        except OSError:
            return None
        return found and (
            found.st_dev,
            found.st_ino,
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,
        )

    @property
    def untrained(self) -> bool:
        """Whether the parameters are random."""
        return self.file is None

    def __str__(self) -> str:
        if self.default:
            return DEFAULT
        return f"random:{self.seed}" if self.file is None else str(self.file)


def parse_weights(choices: Sequence[str] | Mapping[str, str | Path]) -> dict[str, WeightsChoice]:
    """Read ``["ir50=FILE", "resnet18=default", "vggface=random:7"]``, or a mapping that says so.

    Raises:
        extractors.weights.error.WeightsError: a network's file is no weight file.
        PlanError: a choice without ``=``, an unknown network, a network named twice, a file that
            isn't there, or a seed that is no whole number.
    """
    if isinstance(choices, Mapping):
        choices = [f"{name}={source}" for name, source in choices.items()]
    result: dict[str, WeightsChoice] = {}
    for choice in listed(choices):
        name, equals, source = choice.partition("=")
        if not equals or not source:
            raise PlanError(
                f"--weights {choice}: expected NETWORK=FILE, NETWORK=default or NETWORK=random"
            )
        if name not in (*NETWORKS, ALEXNET, *DETECTORS):
            raise PlanError(f"--weights {choice}: no network {name!r}; there are {_networks()}")
        if name in result:
            raise PlanError(f"--weights names {name} twice")
        if name == ALEXNET:
            result[name] = _choose_encoder(source)
            continue
        if name in NETWORKS and (source == "random" or source.startswith("random:")):
            seed = source.removeprefix("random").removeprefix(":") or "0"
            if not seed.isdecimal():
                raise PlanError(f"--weights {choice}: the seed must be a whole number")
            result[name] = WeightsChoice(seed=int(seed))
            continue
        if source == DEFAULT and name in NETWORKS:
            result[name] = choose_default(name)
            continue
        path = Path(source)
        if not path.is_file():
            raise PlanError(f"--weights {choice}: {path} is not a file")
        if name in NETWORKS:
            find_kind(path)
        result[name] = WeightsChoice(file=path.resolve())
    return result


def check_choices(names: Sequence[str], choices: Mapping[str, WeightsChoice]) -> None:
    """Check that weights are of sets asked for, and that the encoder has some.

    Args:
        names: feature sets.
        choices: weights by network, encoder or detector.

    Raises:
        PlanError: weights of a set that isn't asked for, or ``alexnet`` without any.
    """
    for name in choices:
        if name not in names and name not in DETECTORS:
            raise PlanError(
                f"--weights {name}=... but {name} is not among --sets {','.join(names)}"
            )
    if ALEXNET in names and ALEXNET not in choices:
        raise PlanError(
            f"{ALEXNET} needs the audio encoder of a trained run: pass --weights {ALEXNET}=RUN, or "
            "one of its checkpoints/*.safetensors"
        )


def with_defaults(
    names: Sequence[str], choices: Mapping[str, WeightsChoice]
) -> dict[str, WeightsChoice]:
    """Add the weights that avfuse ships to the choices, for networks without any.

    Args:
        names: feature sets; those that are no networks are passed over.
        choices: weights by network.

    Raises:
        PlanError: a network has no weights, and avfuse ships none for it.
    """
    open_ones = [name for name in names if name in NETWORKS and name not in choices]
    return {**choices, **{name: choose_default(name) for name in open_ones}}


def choose_default(name: str) -> WeightsChoice:
    """Choose the weights that avfuse ships for a network.

    Raises:
        PlanError: it ships none for this network.
        extractors.weights.files.WeightsError: the file is gone.
    """
    from extractors.weights.default import default_weights

    path = default_weights(name)
    if path is None:
        raise PlanError(
            f"{name} needs weights: pass --weights {name}=FILE, or {name}=random to try things "
            "out (random weights mark everything made with them as untrained)"
        )
    return WeightsChoice(file=path, default=True)


def _choose_encoder(source: str) -> WeightsChoice:
    try:
        return WeightsChoice(file=find_checkpoint(Path(source)))
    except EncoderChoiceError as error:
        raise PlanError(f"--weights {ALEXNET}={source}: {error}") from error


def _networks() -> str:
    return ", ".join([*NETWORKS, ALEXNET, *DETECTORS])


class EncoderChoiceError(ValueError):
    """A path that does not name one checkpoint."""


def find_checkpoint(path: Path) -> Path:
    """Return the one checkpoint that ``path`` stands for: the file itself, or that of a run.

    Raises:
        EncoderChoiceError: there is none, or the run has several, one for each fold and seed.
    """
    if path.is_file():
        return path.resolve()
    if not path.is_dir():
        raise EncoderChoiceError(f"{path} is neither a checkpoint nor a run folder")
    files = sorted((path / "checkpoints").glob("*.safetensors"))
    if len(files) == 1:
        return files[0].resolve()
    if not files:
        raise EncoderChoiceError(f"{path} has no checkpoints/*.safetensors; train the run first")
    raise EncoderChoiceError(
        f"{path} has {len(files)} checkpoints, each trained on other clips or another seed; name "
        f"one of them: {', '.join(str(file) for file in files[:5])}"
        + (", ..." if len(files) > 5 else "")
    )


def describe_training(checkpoint: Path) -> dict[str, Any] | None:
    """Say which clips a checkpoint's encoder was trained on, from the run folder around it.

    Features of an encoder leak the labels of the clips that it was trained on: a head may only
    be reported on the fold that the encoder did not see.

    Returns:
        For the provenance: run, fold, and the digests of the training and the test clips, as in
        ``run.json``; None for a checkpoint that was taken out of its run.
    """
    run = checkpoint.parent.parent
    try:
        info = json.loads((run / "run.json").read_text(encoding="utf-8"))
        name = f"{checkpoint.parent.name}/{checkpoint.name}"
        fold = next(c["fold"] for c in info["checkpoints"] if c["file"] == name)
        part = next(p for p in info["plan"]["folds"] if p["number"] == fold)
        return {
            "run": str(run),
            "fold": part["name"],
            "plan": info["plan"]["spec"],
            "train_clips": part["train_clips"],
            "test_clips": part["test_clips"],
            "train": part["train"],
        }
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return None  # not in its run folder any more, or the run is not finished
