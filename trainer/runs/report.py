"""Report of a run: every figure of ``metrics.json``, computed from predictions alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cache.codec import JsonFields, read_field
from trainer.runs.by_speaker import explain_absence, measure_by_speaker
from trainer.runs.calibration import measure_calibration
from trainer.runs.folder import CONFUSION, METRICS, Run, RunError, read_members
from trainer.runs.metrics import Metrics, measure, spread_of, wilson_interval
from trainer.runs.plots import plot_confusion
from trainer.runs.predictions import BOTH, Predictions, mean_predictions
from trainer.runs.run_writer import RunWriter
from trainer.runs.terminal import choose_interval, format_interval, format_percent
from trainer.training.temperature import temper

UNTRAINED_WARNING = (
    "untrained: random weights stand behind these features; no figure of this run means anything"
)


@dataclass(frozen=True)
class MissingClip(JsonFields):
    """Clip to report on that has no features, so that no head could answer for it.

    Args:
        clip: its id.
        label: its label.
        fold: the fold it belongs to; None without cross-validation.
        reason: why it has no features.
    """

    clip: str
    label: str
    fold: int | None
    reason: str


def make_report(
    pooled: Predictions,
    members: Mapping[str, Predictions],
    *,
    title: str = "",
    missing: Sequence[MissingClip] = (),
    warnings: Sequence[str] = (),
    members_are: str = "seeds",
    coverage: Mapping[str, Any] | None = None,
    info: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Compute every figure of a run.

    Args:
        pooled: the mean of the members, over all folds.
        members: the predictions of each seed or run by name, over the same clips.
        title: what the figures are of.
        missing: test clips without features; they are not in ``pooled``.
        warnings: sentences that belong beside every figure.
        members_are: what the members are, ``seeds`` or ``runs``.
        coverage: frames with a face, per set; see ``measure_run_coverage``.
        info: facts of the run, ``run.json``: what the labels are of, what was trained on, and the
            number of clips whose features couldn't be compared with what they are of, by reason.

    Returns:
        JSON: ``all`` (clips with features of any modality) and ``both`` (clips with features of
        both; None where there are none), each with the figures of the ensemble, of every
        member, of every fold, and their spreads; and ``missing`` with the accuracy that counts
        clips without features as wrong. Of a stack also ``stack``: each fold's weights. Where
        temperatures were fitted also ``temperatures`` by fold, and ``uncalibrated``: what the
        calibration of all clips would be without them.
    """
    has_both = [modalities == BOTH for modalities in pooled.modalities]
    correct = _measure(pooled).correct
    total = len(pooled.clips) + len(missing)
    interval = wilson_interval(correct, total)
    by_modalities = {name: pooled.modalities.count(name) for name in sorted(set(pooled.modalities))}
    return {
        "title": title,
        "classes": list(pooled.classes),
        "members_are": members_are,
        "label_target": (info or {}).get("label_target"),
        "targets": (info or {}).get("targets", "label"),
        "clips": by_modalities,
        "all": _figures(pooled, members),
        "both": (
            _figures(
                pooled.select(has_both.__getitem__),
                {name: member.select(has_both.__getitem__) for name, member in members.items()},
            )
            if any(has_both)
            else None
        ),
        "missing": {
            "count": len(missing),
            "clips": [clip.to_json() for clip in missing],
            "n": total,
            "accuracy_as_wrong": correct / total if total else None,
            "interval_as_wrong": None if interval is None else list(interval),
        },
        "coverage": dict(coverage or {}),
        "unchecked": dict((info or {}).get("unchecked", {})),
        "untrained": pooled.untrained,
        "warnings": list(warnings),
        **({"stack": info["stack"]} if info and "stack" in info else {}),
        **_temperatures(members, (info or {}).get("checkpoints", ())),
    }


def _temperatures(
    members: Mapping[str, Predictions], heads: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Name the temperatures of a run's folds, and measure its calibration without them."""
    if not heads or any("temperature" not in row for row in heads):
        return {}
    found = {(f"seed-{row['seed']}", row["fold"]): row["temperature"] for row in heads}
    before = []
    for name, table in members.items():
        inverse = np.array([[1.0 / found[name, fold]] for fold in table.folds])
        before.append(replace(table, probabilities=temper(table.probabilities, inverse)))
    pooled = mean_predictions(before)
    return {
        "temperatures": [
            {"fold": fold, "temperature": value}
            for fold, value in {fold: value for (_, fold), value in found.items()}.items()
        ],
        "uncalibrated": measure_calibration(pooled.probabilities, pooled.correct).to_json(),
    }


def _figures(pooled: Predictions, members: Mapping[str, Predictions]) -> dict[str, Any]:
    per_fold = {}
    for number in sorted({fold for fold in pooled.folds if fold is not None}):
        rows = [fold == number for fold in pooled.folds]
        per_fold[str(number)] = pooled.select(rows.__getitem__)
    return {
        "ensemble": _block(pooled),
        "members": {name: _block(table) for name, table in members.items()},
        "over_members": _spreads(map(_measure, members.values())),
        "folds": {name: _block(table) for name, table in per_fold.items()},
        "over_folds": _spreads(map(_measure, per_fold.values())),
    }


def _block(table: Predictions) -> dict[str, Any]:
    """Figures of one table: its metrics, their interval by speaker, and its calibration."""
    by_speaker = measure_by_speaker(table.correct, table.speakers)
    return _measure(table).to_json() | {
        "by_speaker": by_speaker and by_speaker.to_json(),
        "not_by_speaker": explain_absence(table.speakers),
        "calibration": measure_calibration(table.probabilities, table.correct).to_json(),
    }


def _measure(table: Predictions) -> Metrics:
    return measure(table.labels, table.predictions, table.classes)


def _spreads(results: Iterable[Metrics]) -> dict[str, Any]:
    return {name: value.to_json() for name, value in spread_of(list(results)).items()}


def finish_run(
    writer: RunWriter,
    *,
    title: str,
    pooled: Predictions,
    members: Mapping[str, Predictions],
    members_are: str,
    missing: Sequence[MissingClip] = (),
    warnings: Sequence[str] = (),
    coverage: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write predictions, metrics and the confusion matrix, and mark the run finished.

    Args:
        writer: the run folder.
        title: first line of the report.
        pooled: the mean of the members.
        members: the predictions of each seed or run.
        members_are: ``seeds`` or ``runs``.
        missing: test clips without features.
        warnings: what belongs beside every figure; that features are untrained is added.
        coverage: frames with a face, per set.

    Returns:
        The report, as written to ``metrics.json``.
    """
    texts = [*warnings]
    if pooled.untrained and UNTRAINED_WARNING not in texts:
        texts.insert(0, UNTRAINED_WARNING)
    report = make_report(
        pooled,
        members,
        title=title,
        missing=missing,
        warnings=texts,
        members_are=members_are,
        coverage=coverage,
        info=writer.info,
    )
    writer.write_predictions(pooled, members)
    ensemble = report["all"]["ensemble"]
    picture = plot_confusion(
        ensemble["confusion"],
        pooled.classes,
        title=(
            f"{title}\naccuracy {format_percent(ensemble['accuracy'])} "
            f"{format_interval(choose_interval(ensemble))}, n {ensemble['n']}"
        ),
        untrained=pooled.untrained,
    )
    writer.write(picture, CONFUSION)
    writer.finish(
        report,
        members=list(members),
        members_are=members_are,
        untrained=pooled.untrained,
        warnings=texts,
    )
    return report


def read_missing(run: Run) -> list[MissingClip]:
    """Return the clips that a run reports on without features.

    Raises:
        RunError: its metrics are damaged.
    """
    try:
        clips = read_field(run.metrics["missing"], "clips", list[MissingClip])
    except TypeError as error:
        raise RunError(f"{run.path / METRICS} is damaged: missing.{error}") from error
    return list(clips)


def evaluate_run(run: Run) -> dict[str, Any]:
    """Compute a run's report again, from its predictions alone.

    Args:
        run: a finished run.

    Returns:
        The same as the run's ``metrics.json``, unless its files were changed.

    Raises:
        RunError: a member's predictions are missing or damaged.
    """
    missing = read_missing(run)
    return make_report(
        run.predictions,
        read_members(run),
        title=run.metrics["title"],
        missing=missing,
        warnings=run.info["warnings"],
        members_are=run.info["members_are"],
        coverage=run.metrics.get("coverage"),
        info=run.info,
    )
