"""Ensemble of finished runs: their probabilities averaged, multiplied or stacked, as a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cache.digest import digest_file
from trainer.data.speakers import BY_FACES
from trainer.runs.folder import (
    CONFIG,
    PREDICTIONS,
    Run,
    RunError,
    read_nested,
    read_run,
    shared_target,
)
from trainer.runs.predictions import mean_predictions
from trainer.runs.run_writer import RunWriter, check_writable
from trainer.runs.stacking import stack
from trainer.settings import format_toml

if TYPE_CHECKING:
    from trainer.runs.report import MissingClip

WEIGHTS_WARNING = (
    "the weights of the ensemble were given by hand; "
    "if they were tuned on these clips, the accuracy is too optimistic"
)

Method = Literal["mean", "product", "stack"]
TITLES: dict[Method, str] = {"mean": "ensemble", "product": "product", "stack": "stack"}


def ensemble_runs(
    paths: Sequence[Path],
    output: Path,
    *,
    weights: Sequence[float] | None = None,
    method: Method = "mean",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Join the probabilities of several runs and write the result as a run folder.

    Args:
        paths: the run folders, at least two; ensembles count as runs.
        output: the run folder to write.
        weights: one weight per run; None weighs all alike. Not of a stack.
        method: "mean" averages probabilities; "product" takes their geometric mean; "stack" too,
            with weights that the training clips of each fold choose, see ``trainer.runs.stacking``.
        overwrite: replace the run in ``output``.

    Returns:
        The report, as written to ``metrics.json``.

    Raises:
        RunError: fewer than two runs, the same run twice, one that is not finished, ``output``
            among them, runs with different kinds of labels, or an ``output`` that can't be
            written; a stack of a run without nested predictions, or with weights.
        PredictionsError: the runs differ in clips, classes or labels, or the weights don't fit.
    """
    if len(paths) < 2:
        raise RunError(f"an ensemble needs at least 2 runs, got {len(paths)}")
    resolved = [path.resolve() for path in paths]
    for position, path in enumerate(resolved):
        if path in resolved[:position]:
            raise RunError(f"{paths[position]} is named twice; give it a larger share instead")
    if output.resolve() in resolved:
        raise RunError(f"{output} is one of the runs to average; write to another folder")
    if method == "stack" and weights is not None:
        raise RunError("a stack finds its weights itself; leave out --shares or --stack")
    check_writable(output, overwrite=overwrite)
    runs = [read_run(path) for path in paths]
    facts, warnings = join_facts(runs)
    names = [f"{number}-{path.name}" for number, path in enumerate(resolved, start=1)]
    tables, shown = [run.predictions for run in runs], [str(path) for path in paths]
    fitted: dict[int | None, NDArray[np.float64]] = {}
    if method == "stack":
        pooled, fitted = stack(tables, [read_nested(run.path) for run in runs], shown)
    else:
        pooled = mean_predictions(tables, weights, names=shown, product=method == "product")
    if weights is not None:
        warnings.append(WEIGHTS_WARNING)
    members = [
        {
            "name": name,
            # Relative, so that runs that stand together can be moved together.
            "path": os.path.relpath(path, output.resolve()),
            "predictions_sha256": digest_file(path / PREDICTIONS),
            **({} if fitted else {"weight": 1.0 if weights is None else float(weights[position])}),
        }
        for position, (name, path) in enumerate(zip(names, resolved, strict=True))
    ]
    info = {
        "kind": "ensemble",
        "classes": list(pooled.classes),
        **facts,
        "runs": members,
        **({} if method == "mean" else {"method": method}),
        **({"stack": _describe_stack(names, fitted)} if fitted else {}),
    }
    from trainer.runs.report import finish_run  # loads matplotlib and scikit-learn

    with RunWriter(output, info, overwrite=overwrite) as writer:
        table: dict[str, Any] = {"runs": [member["path"] for member in members]}
        if not fitted:
            table["weights"] = [member["weight"] for member in members]
        if method != "mean":
            table["method"] = method
        writer.write(format_toml({"ensemble": table}), CONFIG)
        return finish_run(
            writer,
            title=f"{TITLES[method]} of {len(runs)} runs",
            pooled=pooled,
            members=dict(zip(names, (run.predictions for run in runs), strict=True)),
            members_are="runs",
            missing=_join_missing(runs),
            warnings=warnings,
        )


def _describe_stack(
    names: Sequence[str], fitted: Mapping[int | None, NDArray[np.float64]]
) -> list[dict[str, Any]]:
    """List for each fold the weight of each run, as JSON."""
    return [
        {"fold": fold, "weights": dict(zip(names, map(float, weights), strict=True))}
        for fold, weights in fitted.items()
    ]


def join_facts(runs: Sequence[Run]) -> tuple[dict[str, Any], list[str]]:
    """Join what several runs say of themselves: the weakest claim, and every warning once.

    Raises:
        RunError: their labels are of different things.
    """
    independent = [run.info.get("speaker_independent") for run in runs]
    facts = {
        "label_target": shared_target(runs),
        "speaker_independent": (
            next((kind for kind in (False, None, BY_FACES) if kind in independent), True)
        ),
        "unchecked": _most_unchecked(runs),
    }
    return facts, list(dict.fromkeys(text for run in runs for text in run.info["warnings"]))


def _most_unchecked(runs: Sequence[Run]) -> dict[str, int]:
    """Return the largest number of unchecked clips of a run, by reason."""
    most: dict[str, int] = {}
    for run in runs:
        for reason, count in run.info.get("unchecked", {}).items():
            most[reason] = max(count, most.get(reason, 0))
    return most


def _join_missing(runs: Sequence[Run]) -> list[MissingClip]:
    """List the clips that lack features; all runs have the same clips with features."""
    from trainer.runs.report import read_missing

    joined: dict[str, MissingClip] = {}
    for run in runs:
        for clip in read_missing(run):
            joined.setdefault(clip.clip, clip)
    return [joined[clip] for clip in sorted(joined)]
