"""The run folder: what one training or ensemble wrote, whole or visibly unfinished.

``run.json`` is written first with the state ``running`` and last with ``finished``; every file
appears complete or not at all. A run that was killed therefore never looks finished.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cache.commit import sync_folder, temporary_path
from cache.failure import utc_now
from trainer.predictions import Predictions, PredictionsError
from trainer.predictions_csv import format_predictions, read_predictions

FORMAT = 1
INFO, CONFIG, METRICS, PREDICTIONS = "run.json", "config.toml", "metrics.json", "predictions.csv"
HISTORY, CONFUSION, CURVES = "history.csv", "confusion.png", "curves.png"
CHECKPOINTS, MEMBERS = "checkpoints", "members"
_FILES = (CONFIG, METRICS, PREDICTIONS, HISTORY, CONFUSION, CURVES)
_FOLDERS = {CHECKPOINTS: "*.safetensors", MEMBERS: "*.csv"}


class RunError(ValueError):
    """A folder that is not a finished run, or can't become one."""


@dataclass(frozen=True)
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

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes, in the order of every table."""
        return self.predictions.classes


class RunWriter:
    """Writes a run folder; used as a context manager, so that an error is recorded in it.

    Args:
        path: the folder; made with its parents.
        info: first contents of ``run.json``; ``finish`` adds to them.
        overwrite: replace the run that ``path`` holds. Files that no run writes stay.

    Raises:
        RunError: ``path`` holds a run and ``overwrite`` is false, or is something else than a
            run or an empty folder, which is never replaced.
        OSError: the folder can't be written.
    """

    def __init__(self, path: Path, info: Mapping[str, Any], *, overwrite: bool = False) -> None:
        check_writable(path, overwrite=overwrite)
        self.path = path
        self.info = {
            "format": FORMAT,
            "state": "running",
            "started": utc_now(),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            **info,
        }
        path.mkdir(parents=True, exist_ok=True)
        # The state changes before anything of the old run goes, and before anything new comes.
        self._write_info()
        for name in _FILES:
            (path / name).unlink(missing_ok=True)
        for folder, pattern in _FOLDERS.items():
            for old in (path / folder).glob(pattern):
                old.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.info.update(state="failed", reason=f"{type(error).__name__}: {error}")
            self._write_info()

    def file(self, *names: str) -> Path:
        """Path of a file in the run folder whose folders exist."""
        path = self.path.joinpath(*names)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, content: str | bytes, *names: str) -> Path:
        """Write one file, complete or not at all."""
        return write_whole(self.file(*names), content)

    def write_predictions(
        self, pooled: Predictions, members: Mapping[str, Predictions] | None = None
    ) -> None:
        """Write the run's predictions, and each member's under ``members/``."""
        for name, table in (members or {}).items():
            self.write(format_predictions(table), MEMBERS, f"{name}.csv")
        self.write(format_predictions(pooled), PREDICTIONS)

    def finish(self, metrics: Mapping[str, Any], **info: Any) -> None:
        """Write the metrics, then mark the run finished."""
        self.write(to_json(metrics), METRICS)
        self.info.update(info, state="finished", finished=utc_now())
        self._write_info()

    def _write_info(self) -> None:
        self.write(to_json(self.info), INFO)


def check_writable(path: Path, *, overwrite: bool) -> None:
    """Check that a run can be written to ``path``, before any work is done for it.

    Raises:
        RunError: as ``RunWriter``.
    """
    if not path.exists():
        return
    if not path.is_dir():
        raise RunError(f"{path} is a file; a run is written to a folder")
    if not any(path.iterdir()):
        return
    if not (path / INFO).is_file():
        raise RunError(
            f"{path} holds files and no {INFO}, so it is not a run and is not replaced; "
            "choose another folder"
        )
    if not overwrite:
        try:
            state = _read_json(path / INFO).get("state")
        except RunError:
            state = "damaged"
        raise RunError(f"{path} holds a run ({state}); pass --overwrite to replace it")


def read_run(path: Path) -> Run:
    """Read a finished run.

    Raises:
        RunError: ``path`` is not a run folder, its run is not finished, was written by a version
            with another layout, or one of its files is missing or damaged.
    """
    if not (path / INFO).is_file():
        raise RunError(f"{path} is not a run folder: it has no {INFO}")
    info = _read_json(path / INFO)
    if info.get("format") != FORMAT:
        raise RunError(
            f"{path} has run format {info.get('format')!r}; this version reads {FORMAT}; "
            "train it again"
        )
    if info.get("state") != "finished":
        reason = f" ({info['reason']})" if "reason" in info else ""
        raise RunError(
            f"{path} is not finished: its state is {info.get('state')!r}{reason}; "
            "train it again with --overwrite"
        )
    try:
        predictions = read_predictions(path / PREDICTIONS)
        metrics = _read_json(path / METRICS)
    except (PredictionsError, OSError) as error:
        raise RunError(f"{path} is damaged: {error}") from error
    return Run(path=path, info=info, metrics=metrics, predictions=predictions)


def read_members(run: Run) -> dict[str, Predictions]:
    """Read the predictions of each member of a run, by name.

    Raises:
        RunError: one that ``run.json`` lists is missing or damaged.
    """
    try:
        return {
            name: read_predictions(run.path / MEMBERS / f"{name}.csv")
            for name in run.info.get("members", [])
        }
    except (PredictionsError, OSError) as error:
        raise RunError(f"{run.path} is damaged: {error}") from error


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file under a temporary name, flush it to the disk and rename it."""
    data = content.encode() if isinstance(content, str) else content
    temporary = temporary_path(path)
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def to_json(values: Mapping[str, Any]) -> str:
    """JSON for people and programs: indented, and never NaN."""
    return json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise RunError(f"{path} is damaged: expected a JSON object")
    return values
