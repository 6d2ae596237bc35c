"""Table of a run's predictions, in memory and as CSV: the probability of every class per clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from cache.cells import check_no_formula, format_cells, read_cells

BOTH = "audio+video"
# Of the CSV file: the first columns, and those behind the probabilities.
COLUMNS = ("clip", "label", "prediction")
LAST_COLUMNS = ("fold", "split", "modalities", "untrained", "speaker")
WITHOUT_SPEAKER = LAST_COLUMNS[:-1]  # as older runs have it
# Smaller ones count as this in products: no one member can rule a class out.
LEAST_PROBABILITY = 1e-12
T = TypeVar("T")
Row = tuple[int, list[str]]  # the number of its line, and its cells


class PredictionsError(ValueError):
    """A table of predictions that can't be used, or tables that don't fit together."""


@dataclass(frozen=True)
class Predictions:
    """Predictions for labelled clips, sorted by clip id.

    Shapes (N clips, C classes):
        ``probabilities``: (N, C), float64, finite.
        every other column: N values.

    Args:
        classes: the classes, in the order of the columns.
        clips: clip ids.
        labels: the label of each clip.
        probabilities: probability of each class.
        folds: number of the fold the clip was tested in; None without cross-validation.
        splits: split of the manifest the clip was reported in; None with cross-validation.
        modalities: ``audio+video``, ``audio`` or ``video``: what the clip has features of.
        untrained: whether random weights stand anywhere behind the features.
        speakers: who is in each clip, or the group of persons that folds kept together; None
            where nobody said. Left empty it is None for every clip.

    Raises:
        PredictionsError: columns differ in length, a clip stands twice, the clips are not
            sorted, a class or a speaker is a formula, or a probability is not finite.
    """

    classes: tuple[str, ...]
    clips: tuple[str, ...]
    labels: tuple[str, ...]
    probabilities: NDArray[np.float64]
    folds: tuple[int | None, ...]
    splits: tuple[str | None, ...]
    modalities: tuple[str, ...]
    untrained: bool = False
    speakers: tuple[str | None, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.clips)
        if not self.speakers:
            object.__setattr__(self, "speakers", (None,) * n)
        try:
            for name in {*self.classes, *self.labels}:
                check_no_formula("class", name)
            for speaker in {*self.speakers} - {None}:
                check_no_formula("speaker", speaker or "")
        except ValueError as error:
            raise PredictionsError(str(error)) from error
        for column in (self.labels, self.folds, self.splits, self.modalities, self.speakers):
            if len(column) != n:
                raise PredictionsError(f"a column has {len(column)} values for {n} clips")
        if self.probabilities.shape != (n, len(self.classes)):
            raise PredictionsError(
                f"expected probabilities of shape ({n}, {len(self.classes)}), "
                f"got {self.probabilities.shape}"
            )
        for before, after in zip(self.clips, self.clips[1:], strict=False):
            if before >= after:
                raise PredictionsError(
                    f"clip {after} stands twice or out of order; clips are unique and sorted"
                )
        broken = ~np.isfinite(self.probabilities).all(axis=1)
        if broken.any():
            clip = self.clips[int(broken.argmax())]
            raise PredictionsError(f"clip {clip} has a probability that is not a number")

    @property
    def predictions(self) -> tuple[str, ...]:
        """The most probable class of each clip; the first of the classes where some are equal."""
        if not self.clips:
            return ()
        return tuple(self.classes[i] for i in self.probabilities.argmax(axis=1))

    @property
    def correct(self) -> tuple[bool, ...]:
        """Whether the prediction for each clip is its label."""
        return tuple(x == y for x, y in zip(self.predictions, self.labels, strict=True))

    def select(self, keep: Callable[[int], bool]) -> Predictions:
        """Keep the rows whose index ``keep`` accepts."""
        rows = [i for i in range(len(self.clips)) if keep(i)]
        return replace(
            self,
            clips=tuple(self.clips[i] for i in rows),
            labels=tuple(self.labels[i] for i in rows),
            probabilities=self.probabilities[rows],
            folds=tuple(self.folds[i] for i in rows),
            splits=tuple(self.splits[i] for i in rows),
            modalities=tuple(self.modalities[i] for i in rows),
            speakers=tuple(self.speakers[i] for i in rows),
        )


def pool_predictions(parts: Sequence[Predictions]) -> Predictions:
    """Join the predictions of disjoint folds into one table sorted by clip id.

    Raises:
        PredictionsError: no part, parts with other classes, or a clip in two parts.
    """
    if not parts or any(part.classes != parts[0].classes for part in parts):
        raise PredictionsError("expected folds with the same classes, at least one")
    clips = [clip for part in parts for clip in part.clips]
    order = sorted(range(len(clips)), key=clips.__getitem__)
    return Predictions(
        classes=parts[0].classes,
        clips=tuple(clips[i] for i in order),
        labels=_reorder([part.labels for part in parts], order),
        probabilities=np.concatenate([part.probabilities for part in parts])[order],
        folds=_reorder([part.folds for part in parts], order),
        splits=_reorder([part.splits for part in parts], order),
        modalities=_reorder([part.modalities for part in parts], order),
        untrained=any(part.untrained for part in parts),
        speakers=_reorder([part.speakers for part in parts], order),
    )


def mean_predictions(
    members: Sequence[Predictions],
    weights: Sequence[float] | None = None,
    *,
    names: Sequence[str] | None = None,
    product: bool = False,
) -> Predictions:
    """Average the probabilities of several heads for the same clips.

    Args:
        members: at least one; same clips, classes and labels.
        weights: one finite weight per member, not negative, not all 0; None weighs all alike.
        names: how messages call the members.
        product: take the geometric mean, made to sum to 1, instead of the arithmetic one.

    Returns:
        One table. A fold number or split that the members disagree on becomes None; modalities
        they disagree on are joined. It is untrained where any member is. A clip's speaker is the
        one that all members name who name any.

    Raises:
        PredictionsError: no member; members that differ in clips, classes or labels; weights
            that are not as above.
    """
    check_all_same(members, names)
    weigh = np.ones(len(members)) if weights is None else np.array(weights, dtype=np.float64)
    if weigh.shape != (len(members),):
        raise PredictionsError(f"got {weigh.size} weights for {len(members)} members")
    if not np.isfinite(weigh).all() or (weigh < 0).any() or weigh.sum() == 0:
        raise PredictionsError(
            f"weights must be finite, not negative and not all 0, got {list(map(float, weigh))}"
        )
    weigh /= weigh.sum()
    tables = [member.probabilities for member in members]
    if product:
        return join_members(members, multiply(list(map(log_probabilities, tables)), weigh))
    total = np.zeros_like(tables[0])
    for weight, table in zip(weigh, tables, strict=True):
        total += weight * table
    return join_members(members, total)


def check_all_same(members: Sequence[Predictions], names: Sequence[str] | None = None) -> None:
    """Check that there are members, and that all are about the same; see ``check_same``.

    Raises:
        PredictionsError: they are not.
    """
    if not members:
        raise PredictionsError("expected at least one table of predictions")
    if names is None:
        names = [f"member {number}" for number in range(1, len(members) + 1)]
    for name, member in zip(names[1:], members[1:], strict=True):
        check_same(members[0], member, names=(names[0], name))


def log_probabilities(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take logarithms, of ``LEAST_PROBABILITY`` where one is smaller."""
    logs: NDArray[np.float64] = np.log(np.maximum(probabilities, LEAST_PROBABILITY))
    return logs


def multiply(
    logs: Sequence[NDArray[np.float64]], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Multiply probabilities, raised to weights, and make each row sum to 1.

    Args:
        logs: (N, C) logarithms of each member's probabilities.
        weights: one a member.
    """
    scores = np.tensordot(weights, np.stack(logs), 1)
    found = np.exp(scores - scores.max(axis=1, keepdims=True))
    total: NDArray[np.float64] = found / found.sum(axis=1, keepdims=True)
    return total


def join_members(members: Sequence[Predictions], probabilities: NDArray[np.float64]) -> Predictions:
    """Put probabilities that members make together beside what they agree on of their clips."""
    return replace(
        members[0],
        probabilities=probabilities,
        folds=tuple(_agreed(values) for values in zip(*(m.folds for m in members), strict=True)),
        splits=tuple(_agreed(values) for values in zip(*(m.splits for m in members), strict=True)),
        modalities=tuple(
            "+".join(sorted({name for value in values for name in value.split("+")}))
            for values in zip(*(m.modalities for m in members), strict=True)
        ),
        untrained=any(member.untrained for member in members),
        speakers=agree_on_speakers([member.speakers for member in members]),
    )


def agree_on_speakers(columns: Sequence[Sequence[str | None]]) -> tuple[str | None, ...]:
    """Join what several tables know of the speakers of the same clips.

    Returns:
        The speaker that all name who name any, as older tables don't; None where nobody does, or
        they contradict each other.
    """
    named = ([name for name in names if name is not None] for names in zip(*columns, strict=True))
    return tuple(_agreed(names) if names else None for names in named)


def check_same(a: Predictions, b: Predictions, *, names: tuple[str, str]) -> None:
    """Check that two tables are about the same clips, classes and labels.

    Raises:
        PredictionsError: they are not; the message says how far they overlap and names both.
    """
    if a.classes != b.classes:
        raise PredictionsError(
            f"{names[0]} has the classes {', '.join(a.classes)} and {names[1]} "
            f"{', '.join(b.classes)}; they must be the same"
        )
    common = set(a.clips) & set(b.clips)
    if len(common) != len(a.clips) or len(common) != len(b.clips):
        example = min(set(a.clips) ^ set(b.clips))
        raise PredictionsError(
            f"{names[0]} has {len(a.clips)} clips and {names[1]} {len(b.clips)}, "
            f"{len(common)} of them in both (one that is not: {example}); "
            "they must be the same clips"
        )
    other = [c for c, x, y in zip(a.clips, a.labels, b.labels, strict=True) if x != y]
    if other:
        raise PredictionsError(
            f"{len(other)} clips, such as {other[0]}, have another label in {names[0]} than in "
            f"{names[1]}; they were made with different manifests"
        )


def _reorder(columns: Sequence[Sequence[T]], order: Sequence[int]) -> tuple[T, ...]:
    joined = [value for column in columns for value in column]
    return tuple(joined[i] for i in order)


def _agreed(values: Sequence[T]) -> T | None:
    return values[0] if all(value == values[0] for value in values) else None


def format_predictions(table: Predictions) -> str:
    """Write a table as CSV; every probability reads back as the same float64."""
    rows: list[list[object]] = []
    for i, prediction in enumerate(table.predictions):
        fold = table.folds[i]
        rows.append(
            [
                table.clips[i],
                table.labels[i],
                prediction,
                *(repr(float(value)) for value in table.probabilities[i]),
                "" if fold is None else fold,
                table.splits[i] or "",
                table.modalities[i],
                "true" if table.untrained else "false",
                table.speakers[i] or "",
            ]
        )
    names = [f"p_{name}" for name in table.classes]
    return format_cells([*COLUMNS, *names, *LAST_COLUMNS], rows)


def format_parts(parts: Sequence[Predictions]) -> str:
    """Write tables that may share clips as one CSV table, one behind the other."""
    texts = [format_predictions(part) for part in parts]
    return "".join([*texts[:1], *(text.partition("\n")[2] for text in texts[1:])])


def read_predictions(path: Path) -> Predictions:
    """Read a table that ``format_predictions`` wrote.

    Raises:
        PredictionsError: it is no table or too long, a column is missing, a row can't be read, or a
            prediction is not the most probable class; names the file and line.
        OSError: the file can't be read.
    """
    return _parse(path, *_read_rows(path))


def read_parts(path: Path) -> dict[int | None, Predictions]:
    """Read what ``format_parts`` wrote of tables with different folds, by the fold.

    Raises:
        PredictionsError, OSError: as ``read_predictions``.
    """
    header, rows = _read_rows(path)
    place = header.index("fold")
    by_fold: dict[str, list[Row]] = {}
    for row in rows:
        by_fold.setdefault("".join(row[1][place : place + 1]), []).append(row)
    parts = [_parse(path, header, own) for own in by_fold.values()]
    return {part.folds[0]: part for part in parts}


def _read_rows(path: Path) -> tuple[list[str], list[Row]]:
    """Read the header of a table and its rows, each with the number of its line."""
    try:
        rows = read_cells(path)
    except ValueError as error:
        raise PredictionsError(str(error)) from error
    header = rows[0] if rows else []
    classes = _class_columns(header)
    if tuple(header) != (*COLUMNS, *classes, *_last_columns(header)):
        raise PredictionsError(
            f"{path} is not a table of predictions: expected the columns clip,label,prediction, "
            f"p_<class>..., {','.join(LAST_COLUMNS)}; got {','.join(header) or 'nothing'}"
        )
    return header, list(enumerate(rows[1:], start=2))


def _last_columns(header: Sequence[str]) -> tuple[str, ...]:
    return LAST_COLUMNS if [*header[-1:]] == [LAST_COLUMNS[-1]] else WITHOUT_SPEAKER


def _class_columns(header: Sequence[str]) -> tuple[str, ...]:
    own = header[len(COLUMNS) : len(header) - len(_last_columns(header))]
    return tuple(f"p_{name.removeprefix('p_')}" for name in own)


def _parse(path: Path, header: Sequence[str], rows: Sequence[Row]) -> Predictions:
    """Make a table of some rows of a file."""
    classes = tuple(name.removeprefix("p_") for name in _class_columns(header))
    end = len(COLUMNS) + len(classes)
    probabilities = np.zeros((len(rows), len(classes)))
    folds: list[int | None] = []
    for place, (line, row) in enumerate(rows):
        try:
            if len(row) != len(header):
                raise ValueError(f"{len(row)} values for {len(header)} columns")
            probabilities[place] = [float(value) for value in row[len(COLUMNS) : end]]
            folds.append(int(row[end]) if row[end] else None)
        except ValueError as error:
            raise PredictionsError(f"{path}, line {line}: {error}") from error
    body = [row for _, row in rows]
    try:
        table = Predictions(
            classes=classes,
            clips=tuple(row[0] for row in body),
            labels=tuple(row[1] for row in body),
            probabilities=probabilities,
            folds=tuple(folds),
            splits=tuple(row[end + 1] or None for row in body),
            modalities=tuple(row[end + 2] for row in body),
            untrained=any(row[end + 3] == "true" for row in body),
            speakers=tuple(next(iter(row[end + 4 :]), None) or None for row in body),
        )
    except PredictionsError as error:
        raise PredictionsError(f"{path}: {error}") from error
    for (line, row), prediction in zip(rows, table.predictions, strict=True):
        if row[1] not in classes or row[2] != prediction:
            raise PredictionsError(
                f"{path}, line {line}: expected a label of {', '.join(classes)} and the most "
                f"probable class {prediction!r}, got {row[1]!r} and {row[2]!r}"
            )
    return table
