"""Explanations of a run's clips from the cache that it was trained on; no video is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cache.cells import read_cells
from cache.manifest.manifest import read_manifest
from cache.wording import number_of
from trainer.explain.explanation import Explanation
from trainer.explain.heads import explain_steps
from trainer.explain.steps import ClipSteps, read_steps
from trainer.runs.folder import ENTRIES, Run, RunError
from trainer.runs.heads import SavedHead, load_heads
from trainer.settings import TrainSettings
from trainer.training.trained import TrainedHead


def explain_run(
    run: Run,
    clips: Sequence[str] | None = None,
    *,
    cache: Path | None = None,
    device: str = "cpu",
) -> dict[str, Explanation]:
    """Explain clips that a run was tested on, by the heads that tested them.

    Args:
        run: a finished run; see ``read_run``.
        clips: ids of clips in its predictions; None explains all of them.
        cache: the cache's folder; None: where it was when the run was trained.
        device: where to compute.

    Returns:
        Clip to its explanation, in the order asked for.

    Raises:
        RunError: the run has no heads of its own, or lacks a file; it doesn't have a clip; the
            cache is gone or holds other features than the heads were trained on. Says which.
    """
    table = run.predictions
    rows = {clip: row for row, clip in enumerate(table.clips)}
    wanted = list(rows) if clips is None else list(dict.fromkeys(clips))
    unknown = [clip for clip in wanted if clip not in rows]
    if unknown:
        raise RunError(
            f"{run.path} was not tested on {number_of(len(unknown), 'clip')} of those asked for, "
            f"{unknown[0]} first; name clips of its predictions.csv"
        )
    try:
        heads = group_by_fold(load_heads(run))
        steps = _read(run, cache, wanted, next(iter(heads.values()))[0])
        folds: dict[int | None, list[str]] = {}
        for clip in wanted:
            folds.setdefault(table.folds[rows[clip]], []).append(clip)
        found = {}
        for fold, own in folds.items():
            if fold not in heads:
                raise RunError(f"{run.path} is damaged: it has no head of fold {fold}")
            explained = explain_steps(heads[fold], steps, steps.corpus.indices(own), device=device)
            for one in explained:
                row = rows[one.clip]
                found[one.clip] = replace(
                    one, label=table.labels[row], fold=fold, speaker=table.speakers[row]
                )
    except RunError:
        raise
    # Every error of sets, features, packs and entries is a ValueError.
    except (ValueError, OSError) as error:
        raise RunError(f"{run.path} can't be explained: {error}") from error
    return {clip: found[clip] for clip in wanted}


def group_by_fold(heads: Sequence[SavedHead]) -> dict[int | None, list[TrainedHead]]:
    """Return heads by the number of the fold that each was tested on."""
    found: dict[int | None, list[TrainedHead]] = {}
    for head in heads:
        found.setdefault(head.fold, []).append(head.trained)
    return found


def find_cache(run: Run, cache: Path | None) -> Path:
    """Return the folder of a run's cache: the one named, or where it was when the run was trained.

    Raises:
        RunError: it is gone.
    """
    folder = Path(str(run.info["cache"])) if cache is None else cache
    if not folder.is_dir():
        raise RunError(
            f"the cache of {run.path}, {folder}, is gone; name the folder it was moved to with "
            "--cache, or extract its manifest again"
        )
    return folder


def _read(run: Run, cache: Path | None, wanted: Sequence[str], head: TrainedHead) -> ClipSteps:
    """Read the steps of clips, and check that they are those that the run read."""
    folder = find_cache(run, cache)
    _, *rows = read_cells(run.path / ENTRIES) or [[]]
    trained = {clip: checksums for clip, *checksums in filter(None, rows)}
    settings = pin_sets(head)
    speakers: Mapping[str, str | None] | None = None
    if any(settings.modality(name).normalise == "per-speaker" for name in settings.modalities):
        manifest = read_manifest(Path(run.info["manifest"]["path"]), check_files=False)
        speakers = {clip.id: clip.speaker for clip in manifest.clips}
        wanted = list(trained)
    steps = read_steps(folder, wanted, settings, speakers=speakers)
    changed = [
        clip
        for row, clip in enumerate(steps.corpus.clip_ids)
        if [column[row] for column in steps.corpus.checksums.values()] != trained.get(clip)
    ]
    if changed:
        raise RunError(
            f"{folder} holds other features of {number_of(len(changed), 'clip')} than {run.path} "
            f"was trained on, {changed[0]} first; train it again"
        )
    return steps


def pin_sets(head: TrainedHead) -> TrainSettings:
    """Return a head's settings with its sets named by their keys, to find just those."""
    changed: dict[str, Any] = {}
    for name in head.settings.modalities:
        chosen = head.settings.modality(name)
        pinned = "+".join(_folder_of(one, head.set_keys[one]) for one in chosen.set.split("+"))
        changed[name] = replace(chosen, set=pinned)
    return replace(head.settings, **changed)


def _folder_of(name: str, key: str) -> str:
    stem, _, digits = name.rpartition("-")
    return f"{stem if stem and key.startswith(digits) else name}-{key[:16]}"
