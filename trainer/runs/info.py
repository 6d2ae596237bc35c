"""Facts of a run beside its predictions: those of ``run.json``, and the coverage of its clips."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from cache.codec import fields_to_json
from cache.digest import digest_json
from cache.entries.coverage import Coverage, add_coverage
from cache.manifest.manifest import Manifest
from cache.version import own_version
from trainer.data.corpus import Available
from trainer.data.folds import natural_key
from trainer.data.splits import Fold, FoldPlan
from trainer.settings import TrainSettings
from trainer.training.identity import digest_identity


def describe_run(
    manifest: Manifest,
    cache: Path,
    settings: TrainSettings,
    fold_plan: FoldPlan,
    found: Available,
    *,
    seeds: Sequence[int],
    machine: Mapping[str, Any],
) -> dict[str, Any]:
    """Gather the facts of a run before it starts.

    Args:
        manifest: the manifest.
        cache: the cache's folder.
        settings: the settings as they are resolved.
        fold_plan: the folds, without clips that have no features.
        found: the corpus and what is not in it.
        seeds: the seeds of the heads of each fold.
        machine: the device and the number of threads.

    Returns:
        JSON. ``identity`` digests everything that decides the predictions beside the machine, so
        that an interrupted run is only resumed as the same run.
    """
    digest = manifest.digest()
    folds = [_describe_fold(fold) for fold in fold_plan.folds]
    decides = {
        "settings": fields_to_json(settings),
        "manifest": digest,
        "folds": [[fold["train_clips"], fold["test_clips"]] for fold in folds],
        "classes": list(fold_plan.classes),
        "seeds": list(seeds),
        "entries": {name: list(values) for name, values in found.corpus.checksums.items()},
        "machine": dict(machine),
    }
    plugins = {"plugins": used} if (used := settings.plugins()) else {}
    decides |= plugins
    if found.corpus.speech is not None:
        decides["sentences"] = list(found.corpus.speech.sentences)
    by_faces = fold_plan.by_faces
    if by_faces:  # inner splits hold out whole speakers
        clips = {clip.id: clip for fold in fold_plan.folds for clip in (*fold.train, *fold.test)}
        decides["speakers"] = {name: clip.speaker for name, clip in clips.items()}
    return {
        "kind": "train",
        "version": own_version(),
        "torch": torch.__version__,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "identity": digest_identity(decides),
        "classes": list(fold_plan.classes),
        "label_target": manifest.label_target,
        "targets": settings.optim.targets,
        "manifest": {"path": str(manifest.path), "sha256": digest, "clips": len(manifest.clips)},
        "cache": str(cache.resolve()),
        "sets": list(found.sets),
        "features": dict(found.corpus.features),
        **plugins,
        "untrained": found.corpus.untrained,
        "plan": {"kind": fold_plan.kind, "spec": fold_plan.spec, "folds": folds},
        "speaker_independent": fold_plan.speaker_independent,
        "shared_speakers": list(fold_plan.shared_speakers),
        "copies": dict(fold_plan.copies),
        "without_content": fold_plan.without_content,
        **({"speakers_by_faces": by_faces.to_json()} if by_faces else {}),
        "seeds": list(seeds),
        "selection": settings.selection,
        **machine,
        "unlabelled": list(fold_plan.unlabelled),
        "unused": list(fold_plan.unused),
        "without_features": dict(found.without),
        "partial": dict(found.partial),
        "unchecked": dict(Counter(found.corpus.unchecked.values())),
    }


def _describe_fold(fold: Fold) -> dict[str, Any]:
    return {
        "name": fold.name,
        "number": fold.number,
        "split": fold.split,
        "train": len(fold.train),
        "test": len(fold.test),
        "train_clips": digest_json([clip.id for clip in fold.train]),
        "test_clips": digest_json([clip.id for clip in fold.test]),
        "train_labels": dict(sorted(Counter(clip.label or "" for clip in fold.train).items())),
        "test_speakers": sorted(
            {clip.speaker for clip in fold.test if clip.speaker}, key=natural_key
        ),
        "absent_classes": list(fold.absent),
    }


def measure_run_coverage(coverage: Mapping[str, Mapping[str, Coverage]]) -> dict[str, Any]:
    """Add up the coverage of the clips of a run, per set that is made from faces.

    Args:
        coverage: of each clip, by set; see ``Corpus``.

    Returns:
        Set -> JSON: what ``CorpusCoverage`` says of all clips, and ``per_clip`` the counts of
        frames, their sources and the longest gap of each. Empty for a run without such a set.
    """
    result: dict[str, Any] = {}
    for name, found in coverage.items():
        if found:
            per_clip = {
                clip: {**one.count_frames(), **one.to_json()} for clip, one in found.items()
            }
            result[name] = {**add_coverage(found).to_json(), "per_clip": per_clip}
    return result
