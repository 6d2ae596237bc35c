"""Doors of stage two: what the commands do, as calls. ``import trainer`` offers them.

Each is what its command runs: the same checks first, the same files, the same sentences in errors.
PyTorch, matplotlib and scikit-learn are loaded when one begins to work.
"""

from __future__ import annotations

import contextlib
import difflib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cache.commit import check_place
from cache.manifest.manifest import read_manifest
from cache.progress import Progress, shown_progress
from cache.sets.feature_set import SetError, find_set, list_sets
from cache.settings import Overrides, check_counts, listed
from cache.wording import number_of
from extractors.running.device import check_device, choose_device
from trainer.data.splits import plan_folds
from trainer.data.stand_in import replace_absent_network
from trainer.runs.folder import Run, RunError, as_run, read_json, read_run, shared_target
from trainer.runs.run_writer import check_writable
from trainer.settings import DEFAULT_PRESET, HeadSettings, inner_share, load_settings
from trainer.sweeps.file import TABLE_JSON, Sweep, WorkerKilledError, read_sweep

if TYPE_CHECKING:
    from trainer.explain.explanation import Explanation
    from trainer.runs.compare import Comparison
    from trainer.sweeps.cell import CellResult

SERIAL = (
    "Warning: {jobs} processes need semaphores, which Linux keeps in /dev/shm, and none can be "
    "made there. Make room or give access; until then one process trains cell after cell."
)
SAME_WORD = 0.8  # likeness of a mistyped name; resnet29 and resnet18 have 0.75


def train(
    manifest: str | Path,
    *,
    cache: str | Path,
    run: str | Path,
    preset: str = DEFAULT_PRESET,
    config: str | Path | None = None,
    settings: Overrides = (),
    select: str | None = None,
    seeds: int = 1,
    folds: str | None = None,
    fold_seed: int = 0,
    split: str | None = None,
    train_on: Sequence[str] = ("train",),
    allow_shared_speakers: bool = False,
    allow_copies: bool = False,
    nested: bool = False,
    device: str = "auto",
    threads: int | None = None,
    packs: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Run:
    """Train heads on the features of a manifest's clips and report on clips held out.

    The same call again goes on with an interrupted run, and returns a finished one at once. On a
    processor the same clips, features, settings and number of threads give the same run, bit for
    bit.

    Args:
        manifest: the table of clips; their files need not be there.
        cache: the folder that ``extract_features`` wrote.
        run: the run folder to write.
        preset: settings to start from: a preset's name or a TOML file.
        config: TOML file of settings over the preset's.
        settings: single ones over both, such as ``{"video.attention": "self"}``.
        select: ``fixed``, or ``inner:0.2``: choose the number of epochs on a share of the training
            clips.
        seeds: heads per fold, one per random seed, from 1.
        folds: ``speaker:K``, ``speaker:all``, ``clip:K`` or ``manifest``; None: the splits.
        fold_seed: random seed of ``clip:K``.
        split: split to report on; None: test if it has labels, else val.
        train_on: splits to train on.
        allow_shared_speakers: accept a speaker in training and test clips; the report says so.
        allow_copies: accept test clips with the content of a training clip; the report says so.
        nested: also predict the training clips of each fold, by heads that saw neither them nor the
            fold's test clips, for ``ensemble(..., method="stack")``; K folds take K (K - 1) / 2
            more heads a seed.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        threads: PyTorch threads; None: PyTorch's choice.
        packs: folder for the packs, if the cache can't be written.
        overwrite: replace the run in the folder, even one with other settings.
        progress: show on standard error how far it is.

    Returns:
        The finished run: ``run.metrics`` is the report, ``run.predictions`` has a probability per
        clip and class.

    Raises:
        TrainingError: the loss is no longer finite.
        ValueError: manifest, cache, settings or division can't be used as asked, features are
            missing or stale, or the folder holds another run.
        OSError: something can't be read or written.
        KeyboardInterrupt: Ctrl-C; at most the last 5 seconds of work are lost.

    Example:
        >>> run = trainer.train("manifest.csv", cache="CACHE", run="runs/three",
        ...                     settings={"video.attention": "self", "optim.epochs": 3})
        >>> run.classes
        ('happy', 'sad', 'surprise')
    """
    manifest, cache, run = Path(manifest), Path(cache), Path(run)
    packs = None if packs is None else Path(packs)
    trained_on = tuple(listed(train_on))
    check_counts(seeds=seeds, threads=threads)
    if folds is not None and (split is not None or trained_on != ("train",)):
        raise ValueError("--folds divides all labelled clips; leave out --split, --train-on")
    chosen = load_settings(preset, settings, file=None if config is None else Path(config))
    if select is not None:
        chosen = replace(chosen, selection=select)
    changed = chosen != load_settings(preset)
    table = read_manifest(manifest, check_files=False)
    _check_folder(cache)
    check_writable(run, overwrite=True)
    if packs is not None:
        check_place(packs)
    check_device(device)
    chosen, notes = replace_absent_network(
        chosen, cache, preset, settings, file=None if config is None else Path(config)
    )
    _check_sets(cache, chosen)
    plan_folds(
        table.clips,
        folds=folds,
        report_on=split,
        train_on=trained_on,
        seed=fold_seed,
        allow_shared_speakers=allow_shared_speakers,
        allow_copies=allow_copies,
        cache=cache,
    )
    # What is cheap to refuse has been; the rest loads PyTorch.
    from trainer.runs.display import Display
    from trainer.runs.experiment import Protocol, run_experiment

    with shown_progress(progress):
        display = Display(
            stages=1 if inner_share(chosen.selection) is None else 2,
            at_once=not chosen.is_network,
        )
        with contextlib.closing(display):
            run_experiment(
                table,
                cache,
                chosen,
                run,
                Protocol(
                    folds=folds,
                    report_on=split,
                    train_on=trained_on,
                    split_seed=fold_seed,
                    allow_shared_speakers=allow_shared_speakers,
                    allow_copies=allow_copies,
                    num_seeds=seeds,
                    nested=nested,
                ),
                preset=f"{preset} with changes" if changed else preset,
                device=choose_device(device),
                threads=threads,
                overwrite=overwrite,
                packs=packs,
                notes=notes,
                listener=display,
            )
    return read_run(run)


@dataclass(frozen=True)
class SweptTable:
    """Result of a sweep: its cells, in the order of the table.

    Attributes:
        sweep: the file as it was understood.
        cells: one result each, with the state ``ok``, ``failed`` or ``skipped``.
        folder: holds ``table.csv``, ``.md``, ``.json`` and the runs, under ``cells``.
    """

    sweep: Sweep
    cells: tuple[CellResult, ...]
    folder: Path

    def to_json(self) -> Mapping[str, Any]:
        """Return what the table is about and a row per cell; accuracies in percent.

        Raises:
            RunError: ``table.json`` is damaged.
            OSError: it can't be read.
        """
        return read_json(self.folder / TABLE_JSON)


def sweep(
    file: str | Path,
    manifest: str | Path,
    *,
    cache: str | Path,
    out: str | Path,
    settings: Overrides = (),
    let: Sequence[str] = (),
    preset: str | None = None,
    seeds: int | None = None,
    select: str | None = None,
    folds: str | None = None,
    split: str | None = None,
    allow_shared_speakers: bool = False,
    allow_copies: bool = False,
    jobs: int | None = None,
    threads: int = 1,
    device: str = "cpu",
    packs: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> SweptTable:
    """Train every cell of a table of settings and write one table of accuracies.

    The same call again goes on where it stopped.

    Args:
        file: a TOML file, or the name of a sweep that comes with avfuse, as ``icmi19-table3``.
        manifest: the table of clips.
        cache: the folder that ``extract_features`` wrote.
        out: folder for the table and the cells' runs.
        settings: over the file's, such as ``{"optim.epochs": 5}``; what a cell varies stays its
            own.
        let: ``NAME=SET`` for names that the file leaves open.
        preset: settings to start from; None: those of the file, as of all that follow.
        seeds: heads per fold, for cells that set none.
        select: ``inner``: choose the row for each fold inside its training clips and test it
            alone; else see ``train``, as the next three.
        folds: see there.
        split: see there.
        allow_shared_speakers: see there.
        allow_copies: see there.
        jobs: worker processes, from 1; None: one a core.
        threads: PyTorch threads of each.
        device: see ``train``.
        packs: see there.
        overwrite: train cells anew that the folder has with other settings.
        progress: see there.

    Raises:
        ValueError: see ``train``; or ``out`` has cells with other settings.
        WorkerKilledError: a worker process was killed; out of memory, most likely.
        OSError: something can't be read or written.
        KeyboardInterrupt: Ctrl-C; at most 5 seconds of each cell's work are lost.

    Example:
        >>> table = trainer.sweep("poolings.toml", "manifest.csv", cache="CACHE",
        ...                       out="sweeps/poolings", settings={"optim.epochs": 3}, jobs=1)
        >>> {cell.cell: cell.state for cell in table.cells}
        {'mean': 'ok', 'self': 'ok'}
    """
    base = {
        "preset": preset,
        "seeds": seeds,
        "select": select,
        "folds": folds,
        "split": split,
        "allow_shared_speakers": allow_shared_speakers,
        "allow_copies": allow_copies,
    }
    given = {key: value for key, value in base.items() if value not in (None, False)}
    check_counts(seeds=seeds, jobs=jobs, threads=threads)
    manifest, cache, out = Path(manifest), Path(cache), Path(out)
    found = read_sweep(str(file), base=given, overrides=settings, let=listed(let))
    read_manifest(manifest, check_files=False)
    _check_folder(cache)
    packs = None if packs is None else Path(packs)
    for folder in (out, packs):
        if folder is not None:
            check_place(folder)
    check_device(device)
    # What is cheap to refuse has been; the rest loads PyTorch.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*serial mode")  # we say it below, and what to do
        from joblib import cpu_count, effective_n_jobs
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    from trainer.runs.display import ForecastDisplay
    from trainer.runs.terminal import describe_unchecked
    from trainer.sweeps.cell import Place
    from trainer.sweeps.sweep import run_sweep

    jobs = jobs or cpu_count()
    with shown_progress(progress), Progress("cells") as bar:
        if effective_n_jobs(jobs) < jobs:
            bar.say(SERIAL.format(jobs=jobs))
            jobs = 1
        done, total = 0, len(found.cells) + found.base.chooses_row
        bar.show(done, total)

        def show(result: CellResult) -> None:
            nonlocal done
            done += 1
            bar.say(f"{done}/{total} {_describe(result)}")
            bar.show(done, total)

        try:
            results = run_sweep(
                found,
                Place(manifest, cache, out, choose_device(device), threads, packs),
                jobs=jobs,
                overwrite=overwrite,
                on_cell=show,
                on_forecast=ForecastDisplay(bar, f"on {number_of(jobs, 'process')}").show,
            )
        except TerminatedWorkerError as error:
            raise WorkerKilledError(
                "a worker process was killed (out of memory?); run the same command again to go "
                "on, with fewer --jobs"
            ) from error
        bar.close()
        for line in {describe_unchecked(result.report) for result in results if result.report}:
            if line:
                bar.say(line)
    return SweptTable(found, tuple(results), out)


def evaluate(run: Run | str | Path) -> Mapping[str, Any]:
    """Compute a run's figures again, from its predictions alone.

    Args:
        run: a finished run, or its folder.

    Returns:
        The report, as in ``metrics.json``: accuracy (WAR), UAR, macro F1 and recalls in [0, 1],
        with 95 % intervals, of all clips and by split, fold and member.

    Raises:
        RunError: the folder holds no finished run, or one of its files is damaged.
        OSError: it can't be read.

    Example:
        >>> trainer.evaluate("runs/first")["all"]["ensemble"]["accuracy"]
    """
    found = as_run(run)
    from trainer.runs.report import evaluate_run  # loads matplotlib and scikit-learn

    return evaluate_run(found)


def compare(
    run_a: Run | str | Path, run_b: Run | str | Path, *, common: bool = False
) -> Comparison:
    """Test whether two runs differ on the same clips.

    Args:
        run_a: a finished run, or its folder.
        run_b: another.
        common: compare only the clips that both runs have.

    Returns:
        The accuracies, their difference (b less a) with a 95 % interval, p by McNemar's exact
        test, and the clips that the runs predict differently.

    Raises:
        RunError: a folder holds no finished run, or the runs' labels are of different things.
        PredictionsError: the runs have other clips, classes or labels.
        OSError: one can't be read.

    Example:
        >>> found = trainer.compare("runs/mean", "runs/self")
        >>> found.to_json()["p_value"]
    """
    runs = [as_run(run_a), as_run(run_b)]
    shared_target(runs)
    from trainer.runs.compare import compare_predictions  # loads scikit-learn and SciPy

    return compare_predictions(
        runs[0].predictions,
        runs[1].predictions,
        names=(str(runs[0].path), str(runs[1].path)),
        common=common,
    )


def ensemble(
    runs: Sequence[Run | str | Path],
    out: str | Path,
    *,
    shares: Sequence[float] | None = None,
    method: str = "mean",
    overwrite: bool = False,
) -> Run:
    """Average the probabilities of several runs and write the mean as a run of its own.

    Don't tune the shares on the clips you report on: the accuracy would be too optimistic. A stack
    finds them without looking at these.

    Args:
        runs: at least two finished runs with the same clips, or their folders.
        out: the run folder to write.
        shares: of each run in the mean, any positive numbers; None: all alike.
        method: ``mean``; ``product``, the geometric mean; or ``stack``, the geometric mean with
            weights that each fold's training clips choose: of runs trained with ``nested``.
        overwrite: replace the run in ``out``.

    Raises:
        RunError: see ``trainer.runs.ensemble.ensemble_runs``.
        PredictionsError: the runs differ in clips, classes or labels, or the shares don't fit.
        OSError: something can't be read or written.

    Example:
        >>> both = trainer.ensemble(["runs/audio", "runs/video"], "runs/both")
    """
    from trainer.runs.ensemble import TITLES, ensemble_runs

    if method not in TITLES:
        raise RunError(f"method must be one of {', '.join(TITLES)}, got {method!r}")
    several = [runs] if isinstance(runs, str) else runs
    paths = [run.path if isinstance(run, Run) else Path(run) for run in several]
    ensemble_runs(paths, Path(out), weights=shares, method=method, overwrite=overwrite)
    return read_run(out)


def export_heads(run: Run | str | Path, out: str | Path, *, to: str) -> list[str]:
    """Export the heads of a run for other tools.

    Args:
        run: a finished run, or its folder.
        out: the folder to write; must not exist.
        to: ``onnx``, or ``torch``: safetensors files with a loader in plain PyTorch.

    Returns:
        Names of the heads, such as ``fold-0-seed-1``.

    Raises:
        RunError: ``to`` is another word; or as ``trainer.export.export.export_heads``.
        OSError: something can't be read or written.

    Example:
        >>> trainer.export_heads("runs/first", "heads", to="torch")
    """
    output = Path(out)
    if to not in ("onnx", "torch"):
        raise RunError(f"to must be 'onnx' or 'torch', got {to!r}")
    check_place(output.parent)
    found = as_run(run)
    from trainer.export import export  # loads PyTorch

    return export.export_heads(found, to, output)


def explain_run(
    run: Run | str | Path,
    clips: str | Sequence[str] | None = None,
    *,
    cache: str | Path | None = None,
    device: str = "auto",
) -> dict[str, Explanation]:
    """Explain why a run predicts what it predicts: attention and probabilities over a clip's time.

    It reads the cache alone; ``pipeline.explain_clips`` draws pages and takes other videos too.

    Args:
        run: a finished run, or its folder.
        clips: ids of clips that the run was tested on, one or several; None: all of them.
        cache: the cache's folder; None: where it was when the run was trained.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.

    Returns:
        Clip to its explanation, in the order asked for: ``attention`` has by modality the weight
        of each step with its time in seconds, ``windows`` the probabilities over time.

    Raises:
        RunError: the run has no heads of its own, lacks a file or a clip, or the cache is gone or
            holds other features than the heads were trained on.
        ValueError: there is no such device.

    Example:
        >>> found = trainer.explain_run("runs/self", ["sad-s3-1"])["sad-s3-1"]
        >>> found.attention["video"].times.shape == found.attention["video"].weights.shape
        True
    """
    check_device(device)
    from trainer.explain import cached  # loads PyTorch

    return cached.explain_run(
        as_run(run),
        None if clips is None else listed(clips),
        cache=None if cache is None else Path(cache),
        device=choose_device(device),
    )


def _check_folder(cache: Path) -> None:
    if not cache.is_dir():
        raise ValueError(f"{cache} is not a folder; expected one that extract wrote")


def _check_sets(cache: Path, settings: HeadSettings) -> None:
    """Refuse to train where the cache lacks a set that the head reads, or has several."""
    there = {item.spec.name for item in list_sets(cache)}
    for modality in settings.modalities:
        for name in settings.modality(modality).set.split("+"):
            try:
                find_set(cache, name)
            except SetError as error:
                if name in there:
                    raise SetError(
                        f"{error}\nas in --set {modality}.set={name}-KEY, with the beginning of "
                        "the key that is wanted"
                    ) from error
                near = difflib.get_close_matches(name, there, n=1, cutoff=SAME_WORD)
                hint = f"Did you mean {modality}.set={near[0]}? " if near else ""
                raise SetError(
                    f"{error}. {hint}To train on one of them: --set {modality}.set=NAME; to add "
                    f"{name}: avfuse extract with --sets {name}"
                ) from error


def _describe(result: CellResult) -> str:
    from trainer.runs.terminal import format_percent

    if result.report is None:
        return ": ".join(filter(None, (result.cell, result.state, result.reason)))
    return f"{result.cell}: {format_percent(result.report['all']['ensemble']['accuracy'])}"
