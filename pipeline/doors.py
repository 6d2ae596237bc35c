"""Doors of stage one: what the commands do, as calls. ``import pipeline`` offers them.

Each is what its command runs: the same checks first, the same files, the same sentences in errors.
PyTorch, dlib, OpenCV and PyAV are loaded when one begins to work.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from cache.commit import check_file_place, check_place, write_whole
from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest
from cache.persons import write_persons
from cache.progress import Progress, shown_progress
from cache.sets.feature_set import find_set, list_sets
from cache.sets.scan import check_cache
from cache.settings import (
    Overrides,
    check_choice,
    check_counts,
    listed,
    merge,
    parse_overrides,
    settings_from,
)
from cache.wording import number_of
from extractors.running.device import check_device, check_precision, choose_device
from extractors.view_settings import PREDICTED_VIEWS
from pipeline.choice.overrides import read_overrides
from pipeline.doctor.settings import DoctorSettings
from pipeline.exchange.layouts import LAYOUTS
from pipeline.exchange.settings import Format, ImportSettings
from pipeline.extract.choices import ConsumerChoice, TrustChoice
from pipeline.extract.settings import load_settings
from pipeline.extract.weights import parse_weights
from pipeline.index.finish import IndexSummary, index_into
from pipeline.index.recipes import choose_recipe
from pipeline.inspect.request import (
    FACES,
    NO_FACE,
    STATES,
    SheetSettings,
    check_clip_output,
    choose_network,
    pick_clips,
)
from trainer.runs.folder import INFO, Run, RunError, as_run, is_finished, read_run
from trainer.runs.run_writer import check_writable
from trainer.stills.images.layouts import find_layout
from trainer.stills.settings import load_config

if TYPE_CHECKING:
    from pipeline.doctor.diagnosis import Diagnosis
    from pipeline.exchange.importing import ImportReport
    from pipeline.extract.summary import Summary
    from pipeline.inspect.one_clip import Looked
    from pipeline.inspect.sheets import Made
    from pipeline.persons.find import Found
    from trainer.explain.panel import Panel
    from trainer.explain.pictures import Pictures
    from trainer.stills.finetune import StillEpoch

EXPLAINED_AS = (".html", ".png", ".pdf", ".svg")
Projection = Literal["pca", "tsne", "none"]
Weights = Sequence[str] | Mapping[str, str | Path]


def index_corpus(
    recipe: str,
    root: str | Path,
    *,
    out: str | Path,
    options: Mapping[str, Any] | None = None,
    labels: Mapping[str, str] | None = None,
    follow_links: bool = False,
    overwrite: bool = False,
) -> IndexSummary:
    """Write a manifest, the table of a corpus's clips, from the corpus's own layout.

    Reads names and tables, and opens no media file.

    Args:
        recipe: name of the corpus's layout, as ``avfuse index`` has it: ``folder``, ``ravdess``.
        root: the corpus's folder; of ``csv`` the table.
        out: the manifest to write; its folder is made.
        options: of the recipe, such as ``{"modality": "video"}`` of ``ravdess``.
        labels: label to the one that is written for it.
        follow_links: allow symbolic links that lead out of the corpus.
        overwrite: replace an existing manifest.

    Returns:
        Counts of the clips by label, split and fold; what was left out and why; warnings.

    Raises:
        IndexingError: no such recipe or option, or the corpus isn't as the recipe expects.
        FileExistsError: ``out`` exists and ``overwrite`` is false.
        OSError: something can't be read or written.

    Example:
        >>> summary = pipeline.index_corpus("folder", "clips", out="all.csv")
        >>> summary.labels
        {'happy': 3, 'sad': 3, 'surprise': 3}
    """
    chosen = choose_recipe(recipe, Path(root), options or {})
    return index_into(
        chosen, Path(out), labels=labels, follow_links=follow_links, overwrite=overwrite
    )


def diagnose_corpus(
    manifest: str | Path,
    *,
    cache: str | Path | None = None,
    sample: int = DoctorSettings().sample,
    settings: Overrides = (),
    jobs: int | None = None,
    follow_links: bool = False,
    progress: bool = False,
) -> Diagnosis:
    """Find clips that are broken, duplicate, silent, faceless or in two splits.

    Args:
        manifest: the table of clips.
        cache: folder of the cache whose persons are looked for in several splits.
        sample: frames of each clip to look for a face in, from 0, which decodes no picture.
        settings: such as ``{"faces.ladder": "papers"}``.
        jobs: worker processes, from 0, which works in this one; None: one a core.
        follow_links: allow symbolic links that lead out of the corpus.
        progress: show on standard error how far it is.

    Returns:
        The findings, those that would spoil a run first; ``spoiled`` says whether there is one.

    Raises:
        FileNotFoundError: there is no manifest.
        ValueError: settings or cache can't be used.
        MachineError: no worker process can be started.
        OSError: the cache can't be read.

    Example:
        >>> for finding in pipeline.diagnose_corpus("manifest.csv", sample=4, jobs=0).findings:
        ...     print(finding.severity, finding.text)
    """
    manifest = Path(manifest)
    if not manifest.is_file():
        raise FileNotFoundError(f"{manifest} is not a file; expected a manifest, see avfuse index")
    chosen = settings_from(DoctorSettings, merge(parse_overrides(settings), {"sample": sample}))
    from pipeline.doctor.doctor import diagnose_manifest  # loads dlib and OpenCV

    with shown_progress(progress), Progress("clips") as bar:
        return diagnose_manifest(
            manifest,
            settings=chosen,
            cache=None if cache is None else Path(cache),
            jobs=jobs,
            follow_links=follow_links,
            progress=bar.show,
        )


def extract_features(
    manifest: str | Path,
    *,
    cache: str | Path,
    sets: Sequence[str] | None = None,
    weights: Weights = (),
    views: str | None = None,
    precision: Literal["float32", "bfloat16", "float16"] | None = None,
    config: str | Path | None = None,
    settings: Overrides = (),
    overrides: str | Path | None = None,
    jobs: int | None = None,
    threads: int | None = None,
    consumer: ConsumerChoice = "auto",
    device: str = "auto",
    batch_size: int | None = None,
    trust: TrustChoice = "stat",
    retry_failed: bool = False,
    follow_links: bool = False,
    progress: bool = False,
) -> Summary:
    """Bring the feature sets of a manifest's clips up to date.

    Only what is missing or stale is computed: the same call again goes on where it stopped.

    Args:
        manifest: the table of clips.
        cache: folder of the cache, which may be new.
        sets: feature sets to extract, such as ``["resnet29", "logmel"]``; None: those two with
            the views ``basic``, which ``train`` reads by default.
        weights: network to its weight file, ``default`` or ``random``: ``{"ir50": "ir50.pth"}``.
            A network without one gets those that avfuse ships, if it ships any.
        views: augmented variants of each crop to embed; ``basic`` for none, ``mirror`` for its
            mirror image; None: the settings'.
        precision: numeric precision of the networks; None: the settings'.
        config: TOML file of settings.
        settings: single ones over it, such as ``{"faces.policy": "central"}``.
        overrides: CSV of faces chosen by hand.
        jobs: worker processes, from 0, which works in this one; None: one a core.
        threads: PyTorch threads of each worker or of the consumer.
        consumer: process that runs the networks: each worker its ``own``, one ``shared``, or
            ``auto``.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        batch_size: crops per forward pass; None: by device.
        trust: how an unchanged file is known: by ``stat``, its size, times and inode, or by
            ``content``.
        retry_failed: try clips again that failed before.
        follow_links: allow symbolic links that lead out of the corpus.
        progress: show on standard error how far it is.

    Returns:
        What became of every clip: ``failed`` names those that couldn't be read. It is written to
        ``CACHE/extract-report.json`` too.

    Raises:
        ValueError: manifest, sets, weights or settings can't be used as asked.
        MachineError: this machine, or what is installed, fails every clip.
        OSError: the cache can't be written, or something can't be read.
        KeyboardInterrupt: Ctrl-C; every clip that was done is kept.

    Example:
        >>> summary = pipeline.extract_features("manifest.csv", cache="CACHE",
        ...                                     sets=["resnet29", "logmel"], views="basic")
        >>> summary.failed
        ()
    """
    from pipeline.extract.extraction import begin_extraction

    with (
        shown_progress(progress),
        begin_extraction(
            Path(manifest),
            Path(cache),
            sets=sets,
            weights=weights,
            views=views,
            precision=precision,
            config=None if config is None else Path(config),
            settings=settings,
            overrides=None if overrides is None else Path(overrides),
            jobs=jobs,
            threads=threads,
            consumer=consumer,
            device=device,
            batch_size=batch_size,
            trust=trust,
            retry_failed=retry_failed,
            follow_links=follow_links,
        ) as extraction,
    ):
        summary = extraction.run()
    if summary.interrupted:
        signal.raise_signal(summary.interrupted)
    return summary


def draw_faces(
    manifest: str | Path,
    *,
    cache: str | Path,
    out: str | Path,
    name: str = FACES,
    clips: Sequence[str] = (),
    only: Sequence[str] = (),
    policy: str | None = None,
    overrides: str | Path | None = None,
    frames: int = SheetSettings().frames,
    size: int = SheetSettings().size,
    per_page: int = SheetSettings().per_page,
    progress: bool = False,
) -> Made:
    """Draw contact sheets of the faces that a cache holds; nothing is detected again.

    Args:
        manifest: the table of clips, whose videos are decoded.
        cache: folder of the cache.
        out: folder for pages with an index; or one page as ``sheet.png`` or ``sheet.html``.
        name: set whose faces and crops are shown.
        clips: ids of the clips to show; none: all.
        only: kinds of clips to show: ``no-face``, ``ok``, ``partial``, ``failed``, ``stale``,
            ``missing``; none: all.
        policy: rule to choose among several faces; None: that of the set.
        overrides: CSV of faces chosen by hand, to try them.
        frames: frames per clip, 2 to 64.
        size: width of a frame in pixels, 80 to 1920.
        per_page: clips on a page, 1 to 500.
        progress: show on standard error how far it is.

    Returns:
        The files written, and the clips whose frames couldn't be shown, with why.

    Raises:
        ValueError: manifest, cache, set, overrides or sizes can't be used.
        OSError: a page can't be written.

    Example:
        >>> pipeline.draw_faces("manifest.csv", cache="CACHE", out="sheets").unseen
        {}
    """
    cache, out = Path(cache), Path(out)
    sizes = SheetSettings(frames=frames, size=size, per_page=per_page)
    table = read_manifest(manifest, check_files=False)
    chosen = pick_clips(table, listed(clips))
    kinds = listed(only)
    for kind in kinds:
        check_choice("only", kind, (NO_FACE, *STATES))
    by_hand = read_overrides(Path(overrides), set(table.by_id)) if overrides else None
    check_cache(cache)
    if name != FACES:  # whose absence is explained below
        find_set(cache, name)
    check_place(out.parent if out.suffix in (".png", ".html") else out)
    from pipeline.inspect.sheets import make_sheets  # these load PyTorch, dlib and OpenCV
    from pipeline.inspect.shown import find_shown

    shown = find_shown(cache, name, policy=policy, overrides=by_hand)
    title = f"Faces of {Path(manifest).name}: {shown.chosen.folder.name}, {shown.policy}"
    with shown_progress(progress), Progress("clips") as bar:
        return make_sheets(chosen, shown, out, sizes, only=kinds, title=title, progress=bar.show)


def draw_clip(
    manifest: str | Path,
    clip: str,
    *,
    cache: str | Path,
    out: str | Path,
    name: str | None = None,
) -> Looked:
    """Draw one clip over its time: tracks, sound, and how alike its frames are to a network.

    Args:
        manifest: the table of clips.
        clip: id of the clip, whose video is decoded.
        cache: folder of the cache.
        out: page (``.html``) with all frames as small crops, or the picture alone (``.png``,
            ``.pdf`` or ``.svg``); replaced if it is there.
        name: set whose crops are shown and whose frames are compared; None: the chosen faces, and
            the first set that was made from them.

    Returns:
        The clip's page; its ``unseen`` says what can't be shown.

    Raises:
        ValueError: manifest, clip, cache or set can't be used, or the name ends in another way.
        OSError: the page can't be written.

    Example:
        >>> pipeline.draw_clip("manifest.csv", "happy-s1-1", cache="CACHE", out="clip.html").unseen
        ()
    """
    cache, out = Path(cache), Path(out)
    kind = check_clip_output(out)
    (wanted,) = pick_clips(read_manifest(manifest, check_files=False), [clip])
    check_cache(cache)
    network = choose_network(list_sets(cache), name)
    check_place(out.parent)
    from pipeline.inspect.one_clip import look_at_clip, write_clip  # these load PyTorch, dlib, ...
    from pipeline.inspect.shown import find_shown
    from pipeline.inspect.sound import find_sound

    shown = find_shown(cache, network.folder.name if name and network else FACES)
    looked = look_at_clip(wanted, shown, network=network, sound=find_sound(cache), kind=kind)
    write_clip(out, looked)
    return looked


@dataclass(frozen=True)
class FoundPersons:
    """Persons of a corpus, and the files that were written of them.

    Attributes:
        found: the persons, the doubtful ones and the clips left out.
        files: written: the cache's table, then the sheets.
        unseen: clips whose faces are not on the sheets, and why.
    """

    found: Found
    files: tuple[Path, ...]
    unseen: Mapping[str, str]


def find_persons(
    manifest: str | Path,
    *,
    cache: str | Path,
    name: str = "identity",
    corrections: str | Path | None = None,
    out: str | Path | None = None,
    progress: bool = False,
) -> FoundPersons:
    """Find the persons of a manifest's clips by their faces, and propose each clip's speaker.

    Args:
        manifest: the table of clips.
        cache: folder of the cache; gets the table ``persons.json``.
        name: set of identity embeddings, where the cache has several.
        corrections: CSV of names, moves, merges and splits by hand.
        out: folder for contact sheets and the manifest with the proposed speakers; None: neither.
        progress: show on standard error how far it is.

    Raises:
        ValueError: manifest, cache, set or corrections can't be used.
        OSError: something can't be read or written.

    Example:
        >>> persons = pipeline.find_persons("manifest.csv", cache="CACHE").found.persons
        >>> [person.name for person in persons.persons]
    """
    cache = Path(cache)
    output = None if out is None else Path(out)
    table = read_manifest(manifest, check_files=False)
    check_cache(cache)
    check_place(cache)
    if output is not None:
        from pipeline.persons.sheets import check_output, write_sheets

        check_output(output, cache)
    from pipeline.persons import find  # these load dlib and OpenCV
    from pipeline.persons.gather import find_sets

    sets = find_sets(cache, name)
    by_hand = None if corrections is None else Path(corrections)
    with shown_progress(progress):
        with Progress("clips") as bar:
            found = find.find_persons(table.clips, sets, by_hand, bar.show)
        files = [write_persons(cache, found.persons)]
        unseen: Mapping[str, str] = {}
        if output is not None:
            with Progress("persons") as bar:
                made = write_sheets(table, found, sets, output, bar.show)
            files += made.files
            unseen = made.unseen
    return FoundPersons(found, tuple(files), unseen)


def import_features(
    cache: str | Path,
    name: str,
    sources: str | Path | Sequence[str | Path],
    *,
    manifest: str | Path,
    like: str | None = None,
    format: Format | None = None,
    settings: Mapping[str, Any] | None = None,
    allow_missing: bool = False,
    max_gib: float = 4.0,
    progress: bool = False,
) -> ImportReport:
    """Import features made elsewhere as a feature set, to train on like any other.

    Args:
        cache: folder of the cache, which may be new.
        name: of the set; not that of a set that avfuse makes.
        sources: file or folder, or several files of one clip each.
        manifest: the table of clips.
        like: tool that wrote them: ``openface``, ``opensmile``, ``pyfeat``, ``mmsa``.
        format: of features of no such tool: ``npz``, ``npy-folder`` or ``csv``; one of both.
        settings: how the source is read, such as ``{"rate": 25.0}``: see
            ``pipeline.exchange.settings.ImportSettings``.
        allow_missing: record clips that the source lacks as failed, instead of refusing.
        max_gib: memory, in GiB, that the numbers read at once may take, above 0.
        progress: show on standard error how far it is.

    Returns:
        Steps of each clip, names of the features, and clips by what became of them.

    Raises:
        ImportRefusedError: clips are missing, numbers nan, or widths differ; each is named, and
            nothing was written.
        ValueError: the settings can't be used, or ``name`` can't name a set.
        OSError: the source can't be read, or the cache can't be written.

    Example:
        >>> pipeline.import_features("CACHE", "smiles", "smiles.npz", manifest="manifest.csv",
        ...                          format="npz", settings={"rate": 25.0}).clips
        9
    """
    if (like is None) == (format is None):
        raise ValueError("pass either like='TOOL' or format='npz', 'npy-folder' or 'csv'")
    if like is not None and like not in LAYOUTS:
        raise ValueError(f"like must be one of {', '.join(LAYOUTS)}, got {like!r}")
    from pipeline.exchange import importing

    clips = read_manifest(manifest, check_files=False).clips
    chosen = settings_from(
        ImportSettings,
        {
            **(settings or {}),
            "format": LAYOUTS[like].format if like else format,
            "like": like or "",
        },
    )
    files = [sources] if isinstance(sources, str | Path) else sources
    with shown_progress(progress), Progress("clips") as bar:
        return importing.import_features(
            Path(cache),
            name,
            [Path(file) for file in files],
            [clip.id for clip in clips],
            chosen,
            files={clip.id: clip.path for clip in clips},
            allow_missing=allow_missing,
            max_gib=max_gib,
            command=sys.argv,
            progress=bar.show,
        )


def predict_videos(
    videos: str | Path | Sequence[str | Path],
    *,
    run: Run | str | Path | None = None,
    weights: Weights = (),
    settings: Overrides = (),
    device: str = "auto",
    jobs: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Classify videos with the heads of a run, or without one by the network that avfuse ships.

    Args:
        videos: one video or several; without a run pictures too.
        run: a finished run, or its folder; None asks the default network, which was trained on
            still faces and hears nothing.
        weights: of networks of the run that were moved; without a run, of a detector of faces.
        settings: such as ``{"faces.policy": "central"}``; without a run only.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        jobs: worker processes; 0 works in this one.
        progress: show on standard error how far it is.

    Returns:
        What ``avfuse predict --json`` prints: ``classes``, and in ``videos`` for each file its
        ``state``, ``prediction`` and ``probabilities`` by class, None where there is no answer.

    Raises:
        ValueError: run, weights or settings can't be used.
        MachineError: this machine, or what is installed, fails every video.
        OSError: something can't be read or written.
        KeyboardInterrupt: Ctrl-C; nothing was predicted.

    Example:
        >>> answer = pipeline.predict_videos(["holiday.mp4"], run="runs/first")
        >>> answer["videos"][0]["prediction"]
        'happy'
    """
    paths = [Path(v) for v in ([videos] if isinstance(videos, str | Path) else videos)]
    choices = parse_weights(weights)
    with shown_progress(progress):
        if run is not None:
            if settings:
                raise ValueError(
                    "the videos are extracted as the run's clips were; leave out settings, or the "
                    "run to ask the default network"
                )
            from pipeline.predict import by_run  # loads PyTorch and dlib

            return by_run.predict_videos(
                as_run(run), paths, weights=choices, device=device, jobs=jobs
            )
        from pipeline.predict.by_default import ask_default_network  # loads PyTorch and dlib

        return ask_default_network(
            paths,
            settings=load_settings(settings, views=PREDICTED_VIEWS),
            weights=choices,
            device=device,
            jobs=jobs,
        ).to_json()


def finetune(
    data: str | Path,
    *,
    run: str | Path,
    layout: str = "auto",
    network: str | None = None,
    weights: str | Path | None = None,
    teachers: Sequence[str | Path] = (),
    preset: str | None = None,
    config: str | Path | None = None,
    settings: Overrides = (),
    align: bool = False,
    half: bool = False,
    device: str = "auto",
    threads: int | None = None,
    overwrite: bool = False,
    progress: bool = False,
) -> Run:
    """Fine-tune a face network on still images, and write its weights into a run folder.

    The same call again goes on with an interrupted run, and returns a finished one without training
    anything. ``run.path / "weights.safetensors"`` is what ``extract_features`` takes as weights.

    Args:
        data: folder or file of the images.
        run: the run folder to write.
        layout: of the images: ``folder``, ``ferplus`` ...; ``auto`` finds it out.
        network: network to fine-tune; None: that of the settings.
        weights: weight file to start from; None: random weights.
        teachers: weight files whose answers the targets are mixed with.
        preset: name of the settings to start from, such as ``ferplus``; None: the defaults.
        config: TOML file of settings over the preset's.
        settings: single ones over both, such as ``{"epochs": 5}``.
        align: detect and align faces first; skipped where the data set gives boxes.
        half: store the weights in half precision.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        threads: PyTorch threads, from 1; None: those of the settings.
        overwrite: replace the run in the folder, even one with other settings.
        progress: show on standard error how far it is.

    Returns:
        The finished run: ``run.metrics`` is the report on the test images, or without those on
        the validation images; ``run.predictions`` has a probability per image and class.

    Raises:
        DivergedError: the loss is no longer finite.
        ValueError: images, weights or settings can't be used as asked, or the folder holds
            another run.
        OSError: something can't be read or written.
        KeyboardInterrupt: Ctrl-C; at most the last minute of work is lost.

    Example:
        >>> run = pipeline.finetune("stills", run="runs/faces", network="resnet18", settings={
        ...     "image_size": 32, "epochs": 1, "batch_size": 4, "learning_rate": 0.001})
        >>> (run.path / "weights.safetensors").is_file()
        True
    """
    with shown_progress(progress):
        return begin_finetuning(
            Path(data),
            Path(run),
            layout=layout,
            network=network,
            weights=None if weights is None else Path(weights),
            teachers=[Path(teacher) for teacher in teachers],
            preset=preset,
            config=None if config is None else Path(config),
            settings=settings,
            align=align,
            half=half,
            device=device,
            threads=threads,
            overwrite=overwrite,
        )(None)


def begin_finetuning(
    data: Path,
    run: Path,
    *,
    layout: str,
    network: str | None,
    weights: Path | None,
    teachers: Sequence[Path],
    preset: str | None,
    config: Path | None,
    settings: Overrides,
    align: bool,
    half: bool,
    device: str,
    threads: int | None,
    overwrite: bool,
) -> Callable[[Callable[[], bool] | None], Run]:
    """Check a fine-tuning and read its images; ``finetune`` says what the arguments mean.

    Returns:
        The training, to call with a function that is asked after every update whether to save the
        state and raise ``Stopped``; None never stops.
    """
    asked = {} if network is None else {"network": network}
    chosen = load_config(preset, config, merge(parse_overrides(settings), asked))
    found = find_layout(data, layout)
    if not (run / "progress.safetensors").is_file() or (run / INFO).exists():
        check_writable(run, overwrite=True)
    if weights is not None and not weights.is_file():
        raise ValueError(f"--weights {weights} does not exist, or is no file")
    for teacher in teachers:
        if not teacher.is_file():
            raise ValueError(f"--teacher {teacher} does not exist, or is no file")
    check_device(device)
    check_counts(threads=threads)
    # What is cheap to refuse has been; the rest loads PyTorch.
    from pipeline.align_stills import framing_of, read_images
    from trainer.stills.run import Callbacks, run_finetuning
    from trainer.stills.weights_file import describe_start

    device = choose_device(device)
    if overwrite or not is_finished(run):
        check_precision(chosen.training.precision, device)
    with Progress("images") as reading:
        parts = read_images(data, chosen, layout=found.name, align=align, progress=reading.show)

    def train(stopped: Callable[[], bool] | None) -> Run:
        with Progress("updates") as bar:

            def show(done: int, total: int, loss: float) -> None:
                bar.show(done, total, f"loss {loss:.4f}")

            def say_epoch(row: StillEpoch) -> None:
                valid = f", validation {row.valid_accuracy:.2%}" if row.valid_loss else ""
                bar.say(
                    f"epoch {row.epoch} of {chosen.training.epochs}, {row.image_size} pixels: "
                    f"loss {row.loss:.4f}{valid}"
                )

            if weights is not None:
                bar.say(describe_start(weights, parts.classes))
            run_finetuning(
                parts,
                chosen.training,
                run,
                data=chosen.data,
                source=str(data),
                framing=framing_of(parts.layout) if align else None,
                weights=weights,
                teachers=teachers,
                device=device,
                threads=threads or chosen.threads,
                half=half,
                overwrite=overwrite,
                callbacks=Callbacks(show, say_epoch, stopped),
            )
        return read_run(run)

    return train


@dataclass(frozen=True)
class Exported:
    """Result of an export.

    Attributes:
        clips: ids of those that were written.
        left_out: ids of those without an entry in every set.
        sets: folder names of the sets, in the order of the arrays.
        note: a sentence on what was written that one must know; empty where there is none.
    """

    clips: tuple[str, ...]
    left_out: tuple[str, ...]
    sets: tuple[str, ...]
    note: str


def export_features(
    cache: str | Path,
    sets: str | Sequence[str],
    *,
    out: str | Path,
    to: str,
    arrays: str | Sequence[str],
    manifest: str | Path | None = None,
    skip_missing: bool = False,
) -> Exported:
    """Export one array of each set for other tools; its times are written beside it.

    Args:
        cache: folder of the cache.
        sets: name of a set, or of several, which ``parquet``, ``hf`` and ``mmsa`` hold.
        out: the file or folder to write; must not exist.
        to: ``npz``, ``csv``, ``parquet``; ``npy-folder``, a file per clip; ``hf``, a folder that
            Hugging Face's datasets reads; ``mmsa``, the pickle of MMSA and MMSA-FET.
        arrays: name of the array, such as ``basic``; of several sets one each.
        manifest: table of the clips, whose labels, splits, folds and speakers are written too;
            None: every clip in the cache.
        skip_missing: leave out clips without an entry in every set, instead of refusing.

    Raises:
        ValueError: cache, sets, arrays or manifest can't be used as asked, ``out`` exists, or
            features are missing, stale or damaged.
        OSError: something can't be read or written.

    Example:
        >>> exported = pipeline.export_features("CACHE", "resnet29", out="resnet29.npz", to="npz",
        ...                                     arrays="basic", manifest="manifest.csv")
        >>> len(exported.clips)
        9
    """
    from pipeline.exchange.exported import Array, ExportError
    from pipeline.exchange.exporting import FORMS
    from pipeline.exchange.exporting import export_features as write_exported

    names, chosen = listed(sets), listed(arrays)
    if len(chosen) != len(names):
        raise ExportError(
            f"expected one --array for each set, got {number_of(len(names), 'set')} and "
            f"{number_of(len(chosen), 'array')}"
        )
    if to not in FORMS:
        raise ExportError(f"to must be one of {', '.join(FORMS)}, got {to!r}")
    output, folder = Path(out), Path(cache)
    check_place(output.parent)
    wanted = [Array(find_set(folder, n), array) for n, array in zip(names, chosen, strict=True)]
    extracted = [set(array.feature_set.clip_ids()) for array in wanted]
    clips, rows = sorted(set().union(*extracted)), None
    if manifest is not None:
        rows = read_manifest(manifest, check_files=False).by_id
        clips = list(rows)
    everywhere = set.intersection(*extracted)
    absent = [clip for clip in clips if clip not in everywhere] if skip_missing else []
    if absent:
        clips = [clip for clip in clips if clip in everywhere]
    note = write_exported(wanted, clips, to, output, rows=rows)
    folders = tuple(array.feature_set.folder.name for array in wanted)
    return Exported(tuple(clips), tuple(absent), folders, note)


def write_report(
    runs: Run | str | Path | Sequence[Run | str | Path],
    out: str | Path,
    *,
    cache: str | Path | None = None,
    sheets: str | Path | None = None,
    pictures: bool = True,
    projection: Projection = "pca",
    overwrite: bool = False,
    progress: bool = False,
) -> Path:
    """Write a run as one HTML page, or several side by side; it needs no other file.

    Args:
        runs: a finished run or its folder, or several; the others are compared with the first.
        out: the file to write.
        cache: the cache's folder; None: where it was when the runs were trained.
        sheets: folder that ``draw_faces`` wrote; the page links to its contact sheets.
        pictures: whether frames and spectrograms of clips are drawn.
        projection: of the clips' features onto a map.
        overwrite: replace an existing file.
        progress: show on standard error how far it is.

    Returns:
        ``out``.

    Raises:
        FileExistsError: ``out`` exists and ``overwrite`` is false.
        RunError: a run is not finished or damaged, or the runs have other classes or labels.
        OSError: the page can't be written.

    Example:
        >>> page = pipeline.write_report(["runs/mean", "runs/self"], "page.html", pictures=False)
    """
    output = Path(out)
    check_file_place(output, overwrite=overwrite)
    check_choice("projection", projection, get_args(Projection))
    found = [as_run(run) for run in ([runs] if isinstance(runs, Run | str | Path) else runs)]
    if not found:
        raise RunError("a report needs at least one run, got none")
    from trainer.report import page  # loads PyTorch and scikit-learn

    folder = None if cache is None else Path(cache)
    folders = [folder, *(Path(str(one.info["cache"])) for one in found if "cache" in one.info)]
    drawn_from = next(filter(None, folders), None)

    def draw(clips: Sequence[Clip]) -> Mapping[str, Pictures]:
        from pipeline.inspect.thumbnails import draw_thumbnails  # loads OpenCV and PyAV

        return draw_thumbnails(clips, drawn_from or Path())

    with shown_progress(progress), Progress("clips", keep=False) as bar:
        return page.write_report(
            found,
            output,
            cache=folder,
            sheets=None if sheets is None else Path(sheets),
            draw=draw if pictures and drawn_from else None,
            projection=projection,
            progress=bar.show,
        )


@dataclass(frozen=True)
class ExplainedClips:
    """Explanations of clips, and the files that were written of them.

    Attributes:
        panels: one a clip: ``panel.first`` has its probabilities and, by modality, the attention
            weight of each step with its time; ``panel.second`` those of the other run.
        unseen: file to the reason why nothing can be said of it.
        files: the pages or the figure.
    """

    panels: tuple[Panel, ...]
    unseen: Mapping[str, str]
    files: tuple[Path, ...]


def explain_clips(
    run: Run | str | Path,
    clips: str | Path | Sequence[str | Path],
    *,
    out: str | Path | None = None,
    run2: Run | str | Path | None = None,
    cache: str | Path | None = None,
    manifest: str | Path | None = None,
    weights: Weights = (),
    device: str = "auto",
    jobs: int = 0,
    overwrite: bool = False,
    progress: bool = False,
) -> ExplainedClips:
    """Explain why a run predicts what it predicts: attention and probabilities over a clip's time.

    Args:
        run: a finished run, or its folder.
        clips: ids of clips that the run was tested on, or video files; one or several.
        out: page (.html) or figure (.png, .pdf, .svg) to write; None: neither.
        run2: another run, drawn over the first.
        cache: the cache's folder, if it was moved.
        manifest: the run's manifest, if it was moved.
        weights: of networks of the run that were moved; for files that are no clips of it.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        jobs: worker processes that extract other videos; 0 works in this one.
        overwrite: replace existing files.
        progress: show on standard error how far it is.

    Raises:
        FileExistsError: ``out``, or a page beside it, exists and ``overwrite`` is false.
        ValueError: run, cache, clips or weights can't be used.
        MachineError: this machine, or what is installed, fails every video.
        OSError: something can't be read or written.

    Example:
        >>> found = pipeline.explain_clips("runs/self", "sad-s3-1", out="sad.html")
        >>> weights = found.panels[0].first.attention["video"].weights
    """
    output = None if out is None else Path(out)
    if output is not None and output.suffix not in EXPLAINED_AS:
        raise ValueError(f"-o {output}: expected a name that ends in {', '.join(EXPLAINED_AS)}")
    if output is not None:
        check_file_place(output, overwrite=overwrite)
    first, second = as_run(run), None if run2 is None else as_run(run2)
    choices = parse_weights(weights)
    check_device(device)
    asked = [clips] if isinstance(clips, str | Path) else list(clips)
    if output is not None and output.suffix == ".html":
        from trainer.explain.page import name_pages  # loads PyTorch

        for page in name_pages(output, len(asked)):
            check_file_place(page, overwrite=overwrite)
    elif output is not None:
        from trainer.explain.figure import check_number  # loads matplotlib

        check_number(len(asked))
    from pipeline.predict.explain import explain  # loads PyTorch and dlib

    with shown_progress(progress), Progress("clips") as bar:
        found = explain(
            first,
            asked,
            run2=second,
            cache=None if cache is None else Path(cache),
            manifest=None if manifest is None else Path(manifest),
            weights=choices,
            device=device,
            jobs=jobs,
            progress=bar.show,
        )
    files: list[Path] = []
    if output is not None and found.panels:
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.suffix == ".html":
            from trainer.explain.page import write_pages

            files = write_pages(output, found.panels, title=f"{first.path.name} explained")
        else:
            from trainer.explain.figure import draw_figure

            write_whole(output, draw_figure(found.panels, output.suffix[1:]))
            files = [output]
    return ExplainedClips(tuple(found.panels), found.unseen, tuple(files))
