"""Run folder of one training or ensemble: names of its files, and their reading.

``trainer.runs.run_writer`` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from cache.codec import read_field, read_object
from cache.wording import number_of
from trainer.runs.predictions import (
    Predictions,
    PredictionsError,
    read_parts,
    read_predictions,
)

FORMAT = 1
INFO, CONFIG, METRICS, PREDICTIONS = "run.json", "config.toml", "metrics.json", "predictions.csv"
HISTORY, ENTRIES = "history.csv", "entries.csv"
CONFUSION, CURVES = "confusion.png", "curves.png"
CHECKPOINTS, MEMBERS = "checkpoints", "members"
# Predictions of training clips, and the folder of the heads that make them.
NESTED, NESTED_HEADS = "nested.csv", "nested"


class RunError(ValueError):
    """A folder that is not a finished run, or can't become one."""


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run, read back.

    Args:
        path: its folder.
        info: the contents of ``run.json``.
        metrics: the contents of ``metrics.json``.
        predictions: the run's predictions, the mean over its members.
    """

    path: Path
    info: Mapping[str, Any]
    metrics: Mapping[str, Any]
    predictions: Predictions

    def __repr__(self) -> str:  # not all that its files say
        return f"Run({str(self.path)!r}, {number_of(len(self.predictions.clips), 'clip')})"

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of every table."""
        return self.predictions.classes


def read_run(path: str | Path) -> Run:
    """Read a finished run.

    Raises:
        RunError: ``path`` is not a run folder, its run is not finished, was written by a version
            with another layout, or one of its files is missing or damaged.

    Example:
        >>> run = trainer.read_run("runs/first")
        >>> run.metrics["all"]["ensemble"]["accuracy"]
    """
    path = Path(path)
    if not (path / INFO).is_file():
        raise RunError(f"{path} is not a run folder: it has no {INFO}")
    info = read_json(path / INFO)
    if info.get("format") != FORMAT:
        raise RunError(
            f"{path} has run format {info.get('format')!r}; this version reads {FORMAT}; "
            "train it again"
        )
    if info.get("state") != "finished":
        reason = f" ({info['reason']})" if "reason" in info else ""
        raise RunError(
            f"{path} is not finished: its state is {info.get('state')!r}{reason}; "
            "the same command again goes on with it"
        )
    try:
        predictions = read_predictions(path / PREDICTIONS)
        metrics = read_json(path / METRICS)
    except (PredictionsError, OSError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    return Run(
        path=path,
        info=_check(info, _INFO_TYPES, path / INFO),
        metrics=_check(metrics, _METRICS_TYPES, path / METRICS),
        predictions=predictions,
    )


def as_run(run: Run | str | Path) -> Run:
    """Return a run, read from its folder unless it is one already."""
    return run if isinstance(run, Run) else read_run(run)


class _Fields(dict[str, Any]):
    """Fields of a file of a run; one that is missing is damage wherever it is asked for."""

    def __init__(self, values: Mapping[str, Any], path: Path) -> None:
        super().__init__(values)
        self._path = path

    def __missing__(self, name: str) -> NoReturn:
        raise RunError(f"{self._path} is damaged: {name} is missing; train the run again")


# Types of the fields that are read back; runs of different kinds have different ones.
_INFO_TYPES: dict[str, Any] = {
    "kind": str,
    "classes": list[str],
    "label_target": str | None,
    "targets": str,
    "unchecked": dict[str, int],
    "members": list[str],
    "members_are": str,
    "sets": list[dict[str, Any]],
    "speaker_independent": bool | str | None,
    "untrained": bool,
    "warnings": list[str],
}
_METRICS_TYPES: dict[str, Any] = {
    "title": str,
    "all": dict[str, Any],
    "missing": dict[str, Any],
    "coverage": dict[str, dict[str, Any]],
    "warnings": list[str],
}


def _check(values: Mapping[str, Any], types: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """Check the types of the fields that are there."""
    try:
        for name in types.keys() & values.keys():
            read_field(values, name, types[name])
    except TypeError as error:
        raise RunError(f"{path} is damaged: {error}; train the run again") from error
    return _Fields(values, path)


def read_members(run: Run) -> dict[str, Predictions]:
    """Read the predictions of each member of a run, by name.

    Raises:
        RunError: one that ``run.json`` lists is missing, damaged or about other clips than the run.
    """
    members = {}
    try:
        for name in run.info.get("members", []):
            file = f"{MEMBERS}/{name}.csv"
            members[name] = read_predictions(run.path / file)
            if members[name].clips != run.predictions.clips:
                raise RunError(
                    f"{run.path} is damaged: {file} is about other clips than {PREDICTIONS}; train "
                    "the run again"
                )
    except (PredictionsError, OSError) as error:
        raise RunError(f"{run.path} is damaged: {error}") from error
    return members


def read_nested(run: Path) -> dict[int | None, Predictions]:
    """Read a run's nested predictions: for each fold, those of its training clips.

    Args:
        run: its folder; the run need not be finished.

    ``trainer.runs.nested`` makes them.

    Raises:
        RunError: the run has none, says how to make them; or they are damaged.
    """
    if not (run / NESTED).exists():
        raise RunError(
            f"{run} has no predictions of its training clips; repeat the command that trained "
            "it with --nested, which keeps the heads that it has"
        )
    try:
        return read_parts(run / NESTED)
    except (PredictionsError, OSError) as error:
        raise RunError(f"{run} is damaged: {error}") from error


def format_json(values: Mapping[str, Any]) -> str:
    """Write JSON for people and programs: indented, and never NaN."""
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object of a run.

    Raises:
        RunError: the file is damaged.
        OSError: it can't be read.
    """
    try:
        return read_object(path)
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from error


def is_finished(path: Path) -> bool:
    """Say whether a folder holds a finished run."""
    try:
        return read_json(path / INFO).get("state") == "finished"
    except (RunError, OSError):
        return False


def shared_target(runs: Sequence[Run]) -> str | None:
    """Return what the labels of runs are of, None where no run says it.

    Raises:
        RunError: two runs say different things: their accuracies don't go together.
    """
    said = {run.info.get("label_target") or "": run.path for run in reversed(runs)}
    said.pop("", None)
    if len(said) > 1:
        labels = " and ".join(f"{target!r} in {path}" for target, path in sorted(said.items()))
        raise RunError(
            f"the labels are of different things (label_target): {labels}; train all runs on "
            "manifests with the same label_target"
        )
    return next(iter(said), None)


def name_runs(runs: Sequence[Run]) -> list[str]:
    """Call runs by their folders' names, or by their paths where two have one name."""
    names = [run.path.resolve().name for run in runs]
    return names if len({*names}) == len(names) else [str(run.path) for run in runs]
