"""Train every fold and seed of a run from a cache, and write the run folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from cache.cells import format_cells
from cache.codec import fields_to_json
from cache.manifest.manifest import Manifest
from cache.wording import name_by_reason, number_of
from trainer.data.corpus import Available, Corpus, load_available
from trainer.data.splits import Fold, FoldPlan, find_leaks, plan_folds, restrict_folds
from trainer.runs.checks import check_fold, check_head
from trainer.runs.estimate import Forecaster, name_cheaper
from trainer.runs.folder import CONFIG, CURVES, ENTRIES, NESTED, NESTED_HEADS, read_run
from trainer.runs.head_trainer import HeadTrainer, train_fold
from trainer.runs.history import plot_history
from trainer.runs.info import describe_run, measure_run_coverage
from trainer.runs.listener import RunListener
from trainer.runs.lock import FolderLock
from trainer.runs.nested import BY_CLIP_WARNING, InnerFold, is_by_clip, plan_inner, train_nested
from trainer.runs.predictions import (
    Predictions,
    format_parts,
    mean_predictions,
    pool_predictions,
)
from trainer.runs.report import MissingClip, finish_run
from trainer.runs.run_writer import RunWriter, check_writable, find_same
from trainer.settings import TrainSettings, format_toml, inner_share

AFEW_WARNING = "prior afew-test: its class weights were made from the test labels of AFEW, a leak"
CALIBRATION_WARNING = (
    "temperature: clips are held out of the training clips one by one, as their speakers aren't "
    "known; for new people the probabilities may be too sure"
)
TRANSDUCTIVE_WARNING = (
    "transductive: {modality} is normalised per speaker, by all clips of the speaker, also those "
    "reported on"
)

SEEDS_NOTE = "head.kind={kind} depends on no seed: one head a fold"


@dataclass(frozen=True)
class Protocol:
    """Division of the clips of a run, and the number of heads trained on each fold.

    Args:
        folds: ``speaker:6``, ``clip:5`` ...; None for the manifest's splits. See ``plan_folds``.
        report_on: the split to report on, without ``folds``.
        train_on: the splits to train on, without ``folds``.
        split_seed: seed of folds by clip.
        allow_shared_speakers: accept a speaker in training and test clips, and say so.
        allow_copies: accept test clips with the content of a training clip, and say so.
        num_seeds: heads per fold, with the seeds from ``settings.seed`` on.
        nested: also predict the training clips of each fold; see ``trainer.runs.nested``.
    """

    folds: str | None = None
    report_on: str | None = None
    train_on: tuple[str, ...] = ("train",)
    split_seed: int = 0
    allow_shared_speakers: bool = False
    allow_copies: bool = False
    num_seeds: int = 1
    nested: bool = False


def run_experiment(
    manifest: Manifest,
    cache: Path,
    settings: TrainSettings,
    run: Path,
    protocol: Protocol,
    *,
    preset: str = "",
    device: str = "cpu",
    threads: int | None = None,
    overwrite: bool = False,
    keep: bool = False,
    packs: Path | None = None,
    notes: Sequence[str] = (),
    listener: RunListener | None = None,
) -> dict[str, Any]:
    """Train every fold and seed, average the seeds, pool the folds, and write the run.

    On a CPU the same manifest, cache, settings, protocol and number of threads give the same
    predictions, bit for bit.

    Args:
        manifest: the clips. Their files are not needed.
        cache: the cache's folder.
        settings: the head and its training.
        run: the run folder to write.
        protocol: folds, splits and seeds.
        preset: what the settings started from, for the title.
        device: where to compute.
        threads: threads of the computation; None leaves PyTorch's own number.
        overwrite: replace the run that the folder holds, whatever it is. Without it the same run
            goes on: if it is finished its report is returned, if it was interrupted the heads that
            it trained are kept; another run is refused.
        keep: as without ``overwrite``, but another run is replaced.
        packs: folder of the packs, for a cache that can't be written.
        notes: sentences on the settings that belong into ``run.json`` and the report's warnings.
        listener: hears how the run goes on.

    Returns:
        The report, as written to ``metrics.json``.

    Raises:
        RunHeldError: another process writes the folder.
        RunError: the folder can't be written to, see ``RunWriter``, or holds another run.
        SplitError: the clips can't be divided as asked; see ``plan_folds``, ``restrict_folds``.
        SetError, FeaturesError, PackError, EntryError: see ``load_available``.
        StaleError, CorpusError: see there, or no training clip has a modality; nothing was written.
        VotesError: ``optim.targets=votes``, and a training clip has none or one for what is no
            class; nothing was written.
        TrainingError: a loss is no longer finite.
        ValueError: settings that don't fit the features, or a plug-in that can't be used; nothing
            was written.
        OSError: something can't be read or written.
    """
    (report,) = run_experiments(
        manifest,
        cache,
        {run: (settings, protocol)},
        preset=preset,
        device=device,
        threads=threads,
        overwrite=overwrite,
        keep=keep,
        packs=packs,
        notes=notes,
        listener=listener,
    )
    return report


def run_experiments(
    manifest: Manifest,
    cache: Path,
    wanted: Mapping[Path, tuple[TrainSettings, Protocol]],
    *,
    preset: str = "",
    device: str = "cpu",
    threads: int | None = None,
    overwrite: bool = False,
    keep: bool = False,
    packs: Path | None = None,
    notes: Sequence[str] = (),
    nested_alone: bool = False,
    listener: RunListener | None = None,
) -> list[dict[str, Any]]:
    """Make several runs from the same features and clips, their heads trained as one.

    Each run is the one that ``run_experiment`` makes of it, up to rounding. None is finished
    before the heads of all are trained, so that an interrupted call goes on with the same heads
    together, to the same bits.

    Args:
        manifest: see ``run_experiment``, as for all arguments that are not here.
        cache: see there.
        wanted: run folder to settings, which differ in attention and seed alone, and protocols,
            which differ in the number of seeds alone.
        preset: see there.
        device: see there.
        threads: see there.
        overwrite: see there.
        keep: see there; of each run.
        packs: see there.
        notes: see there.
        nested_alone: of runs with ``Protocol.nested``: train the heads of nested predictions alone
            and leave the runs unfinished. The same call without it goes on with them.
        listener: see there.

    Returns:
        The report of each run; empty where it is left unfinished.
    """
    for run in wanted:
        check_writable(run, overwrite=True)  # whether it may be replaced is known further down
    listener = listener or RunListener()
    wanted, dropped = _drop_seeds(wanted)
    notes = [*notes, *dropped]
    for note in notes:
        listener.note(note)
    reports: dict[Path, dict[str, Any]] = {}
    trainers: list[HeadTrainer] = []
    nested: list[HeadTrainer] = []
    finished: list[bool] = []
    with ExitStack() as opened:
        # To the end: whoever else wants to write one of these folders is told who has it.
        locks = {run: opened.enter_context(FolderLock(run)) for run in wanted}
        settings, protocol = next(iter(wanted.values()))
        material = _load_material(manifest, cache, settings, protocol, packs, listener)
        corpus, usable = material.found.corpus, material.usable
        folds = [fold for fold in usable.folds if fold.test]
        inner = plan_inner(folds) if any(one.nested for _, one in wanted.values()) else []
        for own, of_run in wanted.values():
            check_head(own, corpus.shapes, corpus.classes)
            for fold in [*folds, *(one.fold for one in inner if of_run.nested)]:
                check_fold(corpus, fold, own, range(own.seed, own.seed + of_run.num_seeds))
        forecaster = Forecaster(
            listener,
            stages=1 if inner_share(settings.selection) is None else 2,
            cheaper=tuple(name_cheaper(settings, cache, usable, protocol.num_seeds)),
        )
        used_threads = opened.enter_context(_torch_threads(threads))
        for run, (settings, protocol) in wanted.items():
            seeds = [settings.seed + number for number in range(protocol.num_seeds)]
            info = describe_run(
                manifest,
                cache,
                settings,
                usable,
                material.found,
                seeds=seeds,
                machine={"device": device, "threads": used_threads},
            )
            if notes:
                info["notes"] = list(notes)
            if protocol.nested:
                info["nested"] = {"heads": len(inner) * len(seeds), "by_clip": is_by_clip(folds)}
            if len(wanted) > 1:
                info["stacked_runs"] = [other.name for other in wanted]
            config = fields_to_json(settings)
            state = None if overwrite else find_same(run, info, config, replace=keep)
            more = protocol.nested and (state is None or not (run / NESTED).exists())
            if not more and (nested_alone or state == "finished"):
                reports[run] = {} if nested_alone else dict(read_run(run).metrics)
                continue
            finished.append(state == "finished")
            writer = opened.enter_context(
                RunWriter(
                    run,
                    info,
                    overwrite=overwrite or keep,
                    resume=state is not None,
                    reopen=more,
                    lock=locks[run],
                )
            )
            writer.write(format_toml(config), CONFIG)
            writer.write(_format_entries(corpus), ENTRIES)
            given = writer, corpus, settings, seeds
            trainers.append(HeadTrainer(*given, device=device, listener=forecaster))
            if more:
                nested.append(
                    HeadTrainer(*given, device=device, listener=forecaster, folder=NESTED_HEADS)
                )
        if trainers:
            # Of a run that was finished the heads are there: it is finished again.
            tested = [] if nested_alone and not any(finished) else folds
            num_heads = sum(len(tested) * len(trainer.seeds) for trainer in trainers)
            num_heads += sum(len(inner) * len(trainer.seeds) for trainer in nested)
            forecaster.start(num_heads, settings.optim.epochs if settings.is_network else 1)
            parts = [train_fold(trainers, fold) for fold in tested]
            _keep_nested(nested, folds, inner)
            for trainer in trainers:
                if (trainer.writer.path / NESTED).exists():  # its heads have done all they are for
                    shutil.rmtree(trainer.writer.path / NESTED_HEADS, ignore_errors=True)
            if not tested:
                for trainer in trainers:
                    trainer.writer.pause()
                return [{} for _ in wanted]
            coverage = measure_run_coverage(corpus.coverage)
            for trainer, of_folds in zip(trainers, zip(*parts, strict=True), strict=True):
                reports[trainer.writer.path] = _report(
                    material, trainer, of_folds, coverage, preset
                )
    return [reports[run] for run in wanted]


def _keep_nested(
    trainers: Sequence[HeadTrainer], folds: Sequence[Fold], inner: Sequence[InnerFold]
) -> None:
    """Write the nested predictions of some runs."""
    tables = train_nested(trainers, folds, inner) if trainers else []
    for trainer, parts in zip(trainers, tables, strict=True):
        trainer.writer.write(format_parts(parts), NESTED)


def _drop_seeds(
    wanted: Mapping[Path, tuple[TrainSettings, Protocol]],
) -> tuple[dict[Path, tuple[TrainSettings, Protocol]], list[str]]:
    """Leave one seed to heads that don't depend on it, and say so."""
    kept, notes = {}, []
    for run, (settings, protocol) in wanted.items():
        if not settings.is_network and protocol.num_seeds > 1:
            notes.append(SEEDS_NOTE.format(kind=settings.head.kind))
            protocol = replace(protocol, num_seeds=1)
        kept[run] = settings, protocol
    return kept, list(dict.fromkeys(notes))


@dataclass(frozen=True)
class _Material:
    """The clips and features of runs; ``usable`` is the plan without clips that have none."""

    plan: FoldPlan
    usable: FoldPlan
    found: Available


def _load_material(
    manifest: Manifest,
    cache: Path,
    settings: TrainSettings,
    protocol: Protocol,
    packs: Path | None,
    listener: RunListener,
) -> _Material:
    """Divide the clips and load their features."""
    plan = plan_folds(
        manifest.clips,
        folds=protocol.folds,
        report_on=protocol.report_on,
        train_on=protocol.train_on,
        seed=protocol.split_seed,
        allow_shared_speakers=protocol.allow_shared_speakers,
        allow_copies=protocol.allow_copies,
        cache=cache,
    )
    clips = {clip.id: clip for fold in plan.folds for clip in (*fold.train, *fold.test)}
    labels = {name: clip.label or "" for name, clip in clips.items()}
    speakers = {name: manifest.by_id[name].speaker for name in clips}
    votes = {name: clip.votes for name, clip in clips.items() if clip.votes}
    found = load_available(
        cache,
        labels,
        settings,
        classes=plan.classes,
        clips=clips,
        speakers=speakers,
        votes=votes if settings.optim.targets == "votes" else None,
        packs=packs,
        on_read=listener.read,
    )
    return _Material(
        plan=plan,
        usable=restrict_folds(
            plan,
            lambda clip: clip.id not in found.without,
            contents=found.corpus.contents,
            allow_copies=protocol.allow_copies,
        ),
        found=found,
    )


def _report(
    material: _Material,
    trainer: HeadTrainer,
    of_folds: Sequence[Mapping[int, Predictions]],
    coverage: Mapping[str, Any],
    preset: str,
) -> dict[str, Any]:
    """Average the seeds, pool the folds, and write what is left of a run."""
    plan, found = material.plan, material.found
    settings, seeds, writer = trainer.settings, trainer.seeds, trainer.writer
    title = f"{preset or 'settings'}, {_count(seeds)}, {plan.spec}, {_describe_epochs(settings)}"
    members = {
        f"seed-{seed}": _name_persons(pool_predictions([fold[seed] for fold in of_folds]), plan)
        for seed in seeds
    }
    writer.write(plot_history(trainer.rows, title=title, untrained=found.corpus.untrained), CURVES)
    writer.info.update(checkpoints=trainer.checkpoints, lengthened=trainer.lengthened)
    return finish_run(
        writer,
        title=title,
        pooled=mean_predictions(list(members.values())),
        members=members,
        members_are="seeds",
        missing=_missing_clips(plan, found.without),
        warnings=[
            *writer.info.get("notes", ()),
            *_warnings(plan, material.usable, found, settings),
            *([BY_CLIP_WARNING] if writer.info.get("nested", {}).get("by_clip") else []),
        ],
        coverage=coverage,
    )


def _name_persons(table: Predictions, plan: FoldPlan) -> Predictions:
    """Give clips their groups of persons for speakers, where the manifest doesn't name all."""
    if not plan.groups:
        return table
    return replace(table, speakers=tuple(plan.groups[clip] for clip in table.clips))


def _missing_clips(fold_plan: FoldPlan, without: Mapping[str, str]) -> list[MissingClip]:
    return [
        MissingClip(clip.id, clip.label or "", fold.number, without[clip.id])
        for fold in fold_plan.folds
        for clip in fold.test
        if clip.id in without
    ]


def _warnings(
    fold_plan: FoldPlan, usable: FoldPlan, found: Available, settings: TrainSettings
) -> Iterator[str]:
    yield from usable.warnings
    yield from find_leaks(found.sets, usable)
    if settings.prior == "afew-test":
        yield AFEW_WARNING
    if settings.calibrate == "temperature" and any(
        len({clip.speaker for clip in fold.train if clip.speaker}) < 2 for fold in usable.folds
    ):
        yield CALIBRATION_WARNING
    for name in settings.modalities:
        if settings.modality(name).normalise == "per-speaker":
            yield TRANSDUCTIVE_WARNING.format(modality=name)
    tested = {clip.id for fold in fold_plan.folds for clip in fold.test}
    if fold_plan.kind != "split" and found.without:
        # The report names them as missing test clips.
        yield f"left out of training too: {number_of(len(found.without), 'clip')} without features"
    elif trained := {c: reason for c, reason in found.without.items() if c not in tested}:
        yield (
            f"left out: {number_of(len(trained), 'training clip')} without features: "
            f"{name_by_reason(trained)}"
        )


def _format_entries(corpus: Corpus) -> str:
    """Write a CSV row per clip: the SHA-256 of every array that was read, empty without one."""
    rows = zip(corpus.clip_ids, *corpus.checksums.values(), strict=True)
    return format_cells(["clip", *corpus.checksums], rows)


def _describe_epochs(settings: TrainSettings) -> str:
    if not settings.is_network:
        return f"{settings.head.kind} fitted at once"
    if inner_share(settings.selection) is None:
        return f"{number_of(settings.optim.epochs, 'epoch')}, fixed beforehand"
    return (
        f"at most {number_of(settings.optim.epochs, 'epoch')}, chosen inside the training clips "
        f"({settings.selection})"
    )


def _count(seeds: Sequence[int]) -> str:
    return f"{len(seeds)} seeds" if len(seeds) > 1 else f"seed {seeds[0]}"


@contextmanager
def _torch_threads(threads: int | None) -> Iterator[int]:
    """Compute with so many threads; afterwards as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
