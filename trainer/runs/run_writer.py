"""Writer of a run folder: files whole or not at all, its state, and what may be replaced."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from cache.codec import fields_from_json, fields_to_json
from cache.commit import (
    Writer,
    check_place,
    is_alive,
    make_folder,
    sync_folder,
    temporary_writer,
    this_writer,
    write_whole,
)
from cache.entries.failure import utc_now
from cache.settings import SettingsError, read_toml
from trainer.runs.folder import (
    CHECKPOINTS,
    CONFIG,
    CONFUSION,
    CURVES,
    ENTRIES,
    FORMAT,
    HISTORY,
    INFO,
    MEMBERS,
    METRICS,
    NESTED,
    NESTED_HEADS,
    PREDICTIONS,
    RunError,
    format_json,
    read_json,
)
from trainer.runs.lock import LOCK, FolderLock, RunHeldError, check_no_file
from trainer.runs.predictions import Predictions, format_predictions
from trainer.training.identity import check_identity

_FILES = (CONFIG, METRICS, PREDICTIONS, HISTORY, ENTRIES, CONFUSION, CURVES, NESTED)
_HEADS = ("*.safetensors", "*.progress")
_FOLDERS = {CHECKPOINTS: _HEADS, NESTED_HEADS: _HEADS, MEMBERS: ("*.csv",)}
_KEPT_ON_RESUME = (HISTORY, CHECKPOINTS, NESTED, NESTED_HEADS)
_WRITTEN_HERE: set[Path] = set()  # run folders that this process writes
MAX_VALUES_SHOWN = 100  # characters; digests and lists of sets are longer
# What a run can differ in from the one that a folder holds, besides its settings.
_COMPARED = {
    "kind": "kind of run",
    "manifest": "clips in the manifest",
    "label_target": "kind of labels",
    "plan": "division of the clips",
    "sets": "feature sets",
    "plugins": "plug-ins",
    "classes": "classes",
    "seeds": "seeds",
    "data": "images",
    "from": "first weights",
    "half": "precision of the stored weights",
    "device": "device",
    "threads": "number of threads",
}


class RunWriter:
    """Writer of a run folder; used as a context manager, so that an error is recorded in it.

    Args:
        path: the folder; made with its parents.
        info: first contents of ``run.json``; ``finish`` adds to them.
        overwrite: replace the run that ``path`` holds. Files that no run writes stay.
        resume: go on with the unfinished run that ``path`` holds, if it has the same
            ``identity``: its checkpoints and history stay.
        reopen: with ``resume``, also go on with a finished run, of which more is asked.
        lock: of the folder, for a caller who looked at it before; it stays the caller's. None:
            taken here, until the end.

    Raises:
        RunHeldError: a process still writes ``path``.
        RunError: ``path`` holds a run and neither ``overwrite`` nor ``resume`` applies, or it is
            something else than a run or an empty folder, which is never replaced.
        OtherTrainingError: ``resume``, and ``path`` holds an unfinished run of another identity.
        OSError: the folder can't be written.
    """

    def __init__(
        self,
        path: Path,
        info: Mapping[str, Any],
        *,
        overwrite: bool = False,
        resume: bool = False,
        reopen: bool = False,
        lock: FolderLock | None = None,
    ) -> None:
        held = lock or FolderLock(path)
        self._own_lock = None if lock else held
        self._place: Path | None = None  # once it is written
        self.path = path
        try:
            check_writable(path, overwrite=overwrite, resume=resume, reopen=reopen)
            if resume and (path / INFO).exists():
                there = read_json(path / INFO).get("identity")
                check_identity(path, there, info.get("identity"))
            self._place = path.resolve()
            _WRITTEN_HERE.add(self._place)
            self._begin(info, resume=resume, alone=held.is_held)
        except BaseException:
            self._release()
            raise

    def _begin(self, info: Mapping[str, Any], *, resume: bool, alone: bool) -> None:
        """Mark the folder as this run's, and remove what is left of others.

        Args:
            info: first contents of ``run.json``.
            resume: whether checkpoints and history stay.
            alone: whether no other process can be writing the folder.
        """
        path = self.path
        self.info: dict[str, Any] = {
            "format": FORMAT,
            "state": "running",
            "started": utc_now(),
            "host": socket.gethostname(),
            "writer": fields_to_json(this_writer()),
        }
        # The state changes before anything of the old run goes, and before anything new comes.
        # Until all of the old one is gone for good, it is no run that could be gone on with.
        if not resume and (path / INFO).exists():
            self._write_info()
        for left, alive in _left_over(path):
            if alone or alive is False:
                _remove(left)
        kept = _KEPT_ON_RESUME if resume else ()
        for name in _FILES:
            if name not in kept:
                (path / name).unlink(missing_ok=True)
        for folder, patterns in _FOLDERS.items():
            for pattern in patterns if folder not in kept else ():
                for old in (path / folder).glob(pattern):
                    old.unlink()
        for folder in ("", *_FOLDERS):
            if (path / folder).is_dir():
                sync_folder(path / folder)
        self._write_info(**info)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            # Runs that are made together: an error in one does not undo another that is finished.
            if error is not None and self.info["state"] != "finished":
                reason = f"{type(error).__name__}: {error}".removesuffix(": ")
                self._write_info(state="failed", reason=reason)
        finally:
            self._release()

    def _release(self) -> None:
        if self._place is not None:
            _WRITTEN_HERE.discard(self._place)
        if self._own_lock is not None:
            self._own_lock.release()

    def file(self, *names: str) -> Path:
        """Return the path of a file in the run folder, and make its folders."""
        path = self.path.joinpath(*names)
        make_folder(path.parent)
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
        self.write(format_json(metrics), METRICS)
        self._write_info(**info, state="finished", finished=utc_now())

    def pause(self) -> None:
        """Leave the run unfinished, to go on when more is asked of it."""
        self._write_info(state="paused")

    def _write_info(self, **news: Any) -> None:
        """Write ``run.json``; what is new counts once it is there."""
        self.write(format_json({**self.info, **news}), INFO)
        self.info.update(news)


def check_writable(
    path: Path, *, overwrite: bool, resume: bool = False, reopen: bool = False
) -> None:
    """Check that a run can be written to ``path``, before any work is done for it.

    Raises:
        RunHeldError, RunError: as ``RunWriter``, except that the identity is not known yet.
    """
    check_no_file(path)
    check_place(path)
    if not path.exists():
        return
    tried = {item for item in path.glob(".*.tmp") if item.is_dir()}  # by ``check_place``, and empty
    if not set(path.iterdir()) - {path / LOCK, *tried, *(left for left, _ in _left_over(path))}:
        return
    if not (path / INFO).is_file():
        raise RunError(
            f"{path} holds files and no {INFO}, so it is not a run and is not replaced; "
            "choose another folder"
        )
    try:
        info = read_json(path / INFO)
    except RunError:
        info = {"state": "damaged"}
    state = info.get("state")
    if state == "running" and (pid := _find_live_writer(path, info)):
        raise RunHeldError(
            f"{path} is being written by process {pid} on {info.get('host')} since "
            f"{info.get('started')}; wait for it or choose another folder"
        )
    if resume and state not in ("running", "failed", "paused", *["finished"] * reopen):
        raise RunError(f"{path} holds a run ({state}), which can't be resumed; use --overwrite")
    if not overwrite and not resume:
        raise RunError(f"{path} holds a run ({state}); pass --overwrite to replace it")


def _left_over(path: Path) -> list[tuple[Path, bool | None]]:
    """Find temporary files of writers that aren't known to run, and what ``is_alive`` says."""
    found = [item for folder in ("", *_FOLDERS) for item in (path / folder).glob(".*.tmp")]
    writers = [(item, temporary_writer(item)) for item in found]
    states = [(item, is_alive(writer)) for item, writer in writers if writer]
    return [(item, alive) for item, alive in states if not alive]


def _remove(left: Path) -> None:
    """Remove a temporary file, or the folder by which ``check_place`` tried a place."""
    if left.is_dir():
        left.rmdir()
    else:
        left.unlink(missing_ok=True)


def state_of_same(path: Path, info: Mapping[str, Any]) -> str | None:
    """Return the state of the run in a folder if it is the same run; None if there is none such.

    Args:
        path: the folder.
        info: first contents of ``run.json`` of the run that is to be there.

    Raises:
        OSError: what is there can't be read.
    """
    try:
        there = read_json(path / INFO)
    except (RunError, FileNotFoundError):
        return None  # none, or damaged: replaced either way
    return str(there.get("state")) if there.get("identity") == info.get("identity") else None


def find_same(
    path: Path, info: Mapping[str, Any], config: Mapping[str, Any], *, replace: bool = False
) -> str | None:
    """Return the state of this same run, if the folder holds it already.

    Args:
        path: the folder.
        info: first contents of ``run.json`` of the run that is to be there.
        config: its settings, as in ``config.toml``.
        replace: another run may be replaced.

    Returns:
        The state of the same run in the folder; None if there is none.

    Raises:
        RunError: the folder holds another run, and ``replace`` is false; what differs is named.
        OSError: what is there can't be read.
    """
    state = state_of_same(path, info)
    if state is None and not replace and (path / INFO).exists():
        raise RunError(
            f"{path} holds another run: {_name_differences(path, info, config)}. Repeat the "
            "command that began it to go on, pass --overwrite to replace it, or use another folder"
        )
    return state


def _name_differences(path: Path, info: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Name the differences between the run in a folder and the one asked for."""
    try:
        there, settings = read_json(path / INFO), read_toml(path / CONFIG)
    except (RunError, SettingsError, OSError):
        return "its run.json or config.toml is damaged"
    differences = name_other_settings(settings, config)
    here = json.loads(json.dumps(dict(info)))
    for run in (there, here):  # where a manifest lies and when a set was made is not compared
        if "manifest" in run:
            run["manifest"] = run["manifest"]["sha256"]
        run["sets"] = [item["key"] for item in run.get("sets", [])]
    differences += [
        f"different {name}{_values(here.get(key), there.get(key))}"
        for key, name in _COMPARED.items()
        if there.get(key) != here.get(key)
    ]
    return "; ".join(differences) or "different entries in the cache"


def name_other_settings(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Name the settings that differ, such as "epochs is 2, not 1".

    Args:
        there: nested settings as ``config.toml`` of a run has them.
        here: those asked for.
    """
    old, new = _flat(there), _flat(json.loads(json.dumps(dict(here))))
    return [
        f"{name} is {_shown(name, new)}, not {_shown(name, old)}"
        for name in dict.fromkeys([*new, *old])
        if new.get(name) != old.get(name)
    ]


def _shown(name: str, values: Mapping[str, Any]) -> str:
    """Write a setting's value; one that is left out has its default."""
    return json.dumps(values[name]) if name in values else "the default"


def _values(new: Any, old: Any) -> str:
    """Return two values in words; empty where they would be too long to read."""
    text = f" ({json.dumps(new)}, not {json.dumps(old)})"
    return text if len(text) <= MAX_VALUES_SHOWN else ""


def _flat(values: Mapping[str, Any], where: str = "") -> dict[str, Any]:
    """Return nested settings under dotted names."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= (
            _flat(value, f"{where}{name}.") if isinstance(value, Mapping) else {where + name: value}
        )
    return flat


def _find_live_writer(path: Path, info: Mapping[str, Any]) -> int | None:
    """Return the number of the process that began a run if it is known to write it still.

    Args:
        path: the run folder.
        info: the contents of ``run.json``.
    """
    try:
        writer = fields_from_json(Writer, info.get("writer"))
    except (TypeError, ValueError):
        return None  # none is named, or no process can be it
    if writer == this_writer():  # one that failed, maybe before it could say so, is over
        return writer.pid if path.resolve() in _WRITTEN_HERE else None
    return writer.pid if is_alive(writer) else None
