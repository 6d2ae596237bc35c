"""Fine-tune a face network on images in memory, and write the run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from cache.codec import fields_to_json
from cache.digest import digest_file
from extractors.weights.facts import Framing, WeightFacts
from extractors.weights.tensors import weights_digest
from trainer.runs.folder import CONFIG, CONFUSION, CURVES, HISTORY, read_run
from trainer.runs.lock import FolderLock
from trainer.runs.run_writer import RunWriter, find_same
from trainer.settings import format_toml
from trainer.stills.finetune import Finetuned, StillEpoch, finetune
from trainer.stills.images.parts import Copies, StillParts, check_parts, find_copies
from trainer.stills.prepare import (
    PROGRESS,
    WEIGHTS,
    adopt,
    describe,
    resolve,
    starting_point,
    training_identity,
)
from trainer.stills.run_files import (
    CONFUSION_TABLE,
    UNREADABLE,
    draw_confusion,
    draw_curves,
    format_confusion,
    format_history,
    format_unreadable,
)
from trainer.stills.settings import DataSettings, FinetuneSettings
from trainer.stills.still_report import header_metrics, make_still_report, predict_part
from trainer.stills.teach import teach
from trainer.stills.weights_file import halve, save_classifier
from trainer.training.state import read_progress


@dataclass(frozen=True)
class Callbacks:
    """Callbacks of a fine-tuning: two that hear how it goes on, one that may stop it.

    Attributes:
        update: hears the number of updates done, of all, and the loss.
        epoch: hears of each epoch.
        stopped: asked after every update whether to save the state and stop.
    """

    update: Callable[[int, int, float], None] | None = None
    epoch: Callable[[StillEpoch], None] | None = None
    stopped: Callable[[], bool] | None = None


def run_finetuning(
    parts: StillParts,
    settings: FinetuneSettings,
    run: Path,
    *,
    data: DataSettings | None = None,
    source: str = "",
    framing: Mapping[str, float] | None = None,
    weights: Path | None = None,
    teachers: Sequence[Path] = (),
    device: str = "cpu",
    threads: int | None = None,
    half: bool = False,
    overwrite: bool = False,
    callbacks: Callbacks | None = None,
) -> dict[str, Any]:
    """Fine-tune a face network and write the run folder.

    The test images are scored once, after the last update, by the mean of the probabilities of an
    image and of its mirror image; nothing before knows of them.

    Args:
        parts: the images.
        settings: all that decides the training's result.
        run: the folder to write: settings, history, figures, pictures, predictions and
            ``weights.safetensors``.
        data: how the images were read, for ``config.toml``.
        source: where they were read from, for ``run.json``.
        framing: how faces were cut out, ``extend`` and ``lift``; see ``WeightFacts``.
        weights: where to start; None starts from random weights of the settings' seed.
        teachers: weight files whose answers the targets are mixed with; see ``teach``.
        device: where to compute.
        threads: threads of the computation; None leaves PyTorch's own number.
        half: store the weights in half precision; the figures are of what is stored.
        overwrite: replace the run that the folder holds, whatever it is. Without it the same run
            goes on: if it is finished its figures are returned, if it was interrupted, also as
            ``finetune`` alone, its state is taken up; another run is refused.
        callbacks: hear how it goes on, and may stop it.

    Returns:
        The figures, as written to ``metrics.json``.

    Raises:
        Stopped: ``callbacks.stopped`` said so; the state is saved.
        RunHeldError: another process writes the folder.
        RunError: the folder can't be written to, see ``RunWriter``, or holds another run.
        StillsError: the images can't be trained on; see ``check_parts``.
        OtherTrainingError: the folder holds another unfinished training.
        StateError: the folder's state is damaged.
        WeightsError: ``weights`` does not fit the network.
        DivergedError: a loss, a parameter or an answer is not finite.
        ValueError: settings that don't fit the network.
        OSError: something can't be read or written.
    """
    callbacks = callbacks or Callbacks()
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads or threads_before)
    try:
        check_parts(parts, settings.target)
        parts = replace(parts, train=teach(parts.train, teachers, settings, device))
        learned, resolved = resolve(parts.train, settings)
        started_from = starting_point(resolved.network, weights)
        identity = training_identity(learned, resolved, started_from)
        del learned
        machine = {"device": device, "threads": torch.get_num_threads()}
        copies = find_copies(parts)
        info = describe(
            parts,
            resolved,
            identity,
            started_from,
            machine,
            copies=copies,
            source=source,
            half=half,
        )
        if teachers:
            info["teachers"] = [digest_file(path) for path in teachers]
        config = fields_to_json(resolved) | {"threads": machine["threads"]}
        if data is not None:
            config["data"] = fields_to_json(data)
        with FolderLock(run) as lock:
            state = None
            if not overwrite:
                adopt(run, info, identity)
                state = find_same(run, info, config)
            if state == "finished":
                return dict(read_run(run).metrics)
            with RunWriter(
                run, info, overwrite=overwrite, resume=state is not None, lock=lock
            ) as writer:
                kept = (PROGRESS,) if state is not None else ()
                for name in (WEIGHTS, PROGRESS, UNREADABLE, CONFUSION_TABLE):
                    if name not in kept:
                        (run / name).unlink(missing_ok=True)
                writer.write(format_toml(config), CONFIG)
                if parts.unreadable:
                    writer.write(format_unreadable(parts.unreadable), UNREADABLE)
                trained = train(parts, settings, writer, weights, device, callbacks)
                if half:
                    halve(trained.classifier)
                return write(writer, parts, resolved, trained, info, copies, framing)
    finally:
        torch.set_num_threads(threads_before)


def train(
    parts: StillParts,
    settings: FinetuneSettings,
    writer: RunWriter,
    weights: Path | None,
    device: str,
    callbacks: Callbacks,
) -> Finetuned:
    """Train, with the history on disk after every epoch."""
    progress = writer.file(PROGRESS)
    rows: list[StillEpoch] = []
    if progress.is_file():
        kept = read_progress(progress, writer.info["training"])
        rows = [StillEpoch(**row) for row in kept["history"]]

    def hear(row: StillEpoch) -> None:
        rows.append(row)
        writer.write(format_history(rows, tested=len(parts.valid) > 0), HISTORY)
        if callbacks.epoch is not None:
            callbacks.epoch(row)

    trained = finetune(
        parts.train,
        parts.valid,
        settings,
        weights=weights,
        progress=progress,
        device=device,
        on_update=callbacks.update,
        on_epoch=hear,
        stopped=callbacks.stopped,
    )
    writer.write(format_history(trained.history, tested=len(parts.valid) > 0), HISTORY)
    return trained


def write(
    writer: RunWriter,
    parts: StillParts,
    settings: FinetuneSettings,
    trained: Finetuned,
    info: Mapping[str, Any],
    copies: Copies,
    framing: Mapping[str, float] | None,
) -> dict[str, Any]:
    """Score the images, write report, pictures and weights, and mark the run finished."""
    tables = {
        name: predict_part(trained.classifier, part, name, settings, info["device"])
        for name, part in (("valid", parts.valid), ("test", parts.test))
    }
    report = make_still_report(tables, settings, parts, info, copies)
    reported = tables["test"] if tables["test"].clips else tables["valid"]
    writer.write_predictions(reported)
    writer.write(draw_confusion(report), CONFUSION)
    curves = draw_curves(trained.history, report["title"], tested=len(parts.valid) > 0)
    writer.write(curves, CURVES)
    writer.write(format_confusion(report), CONFUSION_TABLE)
    # Images smaller than the input are enlarged, which extraction has to do alike.
    side = parts.train.images.shape[1]
    facts = WeightFacts(
        network=settings.network,
        classes=parts.classes,
        image_size=settings.image_size,
        grey=settings.grey,
        detail=side if side < settings.image_size else 0,
        framing=Framing(**framing) if framing else None,
        seed=settings.seed,
        settings=fields_to_json(settings),
        data=info["data"],
        metrics=header_metrics(report),
        start=info["from"],
        half=info["half"],
        versions={"avfuse": info["version"], "torch": info["torch"]},
    )
    save_classifier(trained.classifier, writer.file(WEIGHTS), facts, half=info["half"])
    writer.finish(
        report,
        members=[],
        members_are="seeds",
        untrained=False,
        warnings=report["warnings"],
        weights={"file": WEIGHTS, "digest": weights_digest(trained.classifier.network)},
    )
    # The largest file of the run, and of no use any more.
    (writer.path / PROGRESS).unlink(missing_ok=True)
    return report
