"""Explanations of a run's clips and of any video, with their pictures: both stages joined.

A clip that the run was tested on is explained from the cache, by the heads that never saw it; any
other video is extracted into a temporary cache first, as ``predict`` does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from cache.manifest.clip import Clip
from cache.manifest.manifest import read_manifest
from pipeline.extract.weights import WeightsChoice
from pipeline.index.files import did_you_mean
from pipeline.inspect.request import FACES
from pipeline.inspect.thumbnails import ClipPictures, ThumbnailSettings, draw_thumbnails
from pipeline.predict.by_run import Answered, answer_clips
from trainer.explain.cached import explain_run
from trainer.explain.explanation import Explanation
from trainer.explain.panel import Panel
from trainer.runs.folder import Run, name_runs
from trainer.runs.heads import check_heads

MOST_CLIPS = 1000
PICTURES = ThumbnailSettings(frames=12, size=160, boxed=True, columns=600, quality=80)
_NOT_TESTED = "{} was not tested on this clip"


@dataclass(frozen=True)
class Explained:
    """Panels of what was asked for.

    Args:
        panels: one a clip, in the order asked for.
        unseen: file to the reason why nothing can be said of it.
    """

    panels: Sequence[Panel]
    unseen: Mapping[str, str]


def explain(
    run: Run,
    videos_or_clips: Sequence[str | Path],
    *,
    run2: Run | None = None,
    cache: Path | None = None,
    manifest: Path | None = None,
    weights: Mapping[str, WeightsChoice] | None = None,
    device: str = "auto",
    jobs: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Explained:
    """Explain a run's predictions for clips and videos: attention and probabilities over time.

    Args:
        run: a finished run; see ``read_run``.
        videos_or_clips: ids of clips that the run was tested on, or video files. A file of such
            a clip is explained as that clip.
        run2: another run with the same classes, to lay over the first.
        cache: where the clips' features are, of both runs; None: where they were in training.
        manifest: the run's manifest, if it was moved; it says which file a clip is.
        weights: parameters per network for other videos; see ``predict_videos``.
        device: where to extract them; see ``plan_sets``.
        jobs: worker processes that extract them; 0 works in this one.
        progress: called with the number of clips whose pictures are drawn, and of all.

    Raises:
        RunError: a run has no heads, or its cache is gone or has other features now.
        ValueError: an argument is neither a clip nor a file, there are too many, or the second
            run has other classes; or as ``predict_videos``.
        OSError: something can't be read or written.
    """
    if len(videos_or_clips) > MOST_CLIPS:
        raise ValueError(
            f"expected at most {MOST_CLIPS} clips, got {len(videos_or_clips)}; explain fewer, or "
            "write the report of the run"
        )
    runs = (run,) if run2 is None else (run, run2)
    for one in runs:
        check_heads(one)
    if run2 is not None and run2.classes != run.classes:
        raise ValueError(
            f"{run2.path} has the classes {', '.join(run2.classes)}, expected those of {run.path}: "
            f"{', '.join(run.classes)}"
        )
    rows = _read_rows(run, manifest)
    asked = [_find(str(one), run, rows) for one in dict.fromkeys(map(str, videos_or_clips))]
    asked = list(dict.fromkeys(asked))
    gone = cache is None and not Path(str(run.info["cache"])).is_dir()
    cached = [one for one in asked if isinstance(one, str) and not (gone and _is_there(one, rows))]
    panels = _explain_cached(runs, cached, rows, cache, progress)
    shown, unseen = _explain_videos(
        runs,
        [one for one in asked if one not in panels],
        rows,
        partial(answer_clips, weights=weights, device=device, jobs=jobs),
        progress,
    )
    panels |= shown
    return Explained([panels[one] for one in asked if one in panels], unseen)


def _is_there(clip: str, rows: Mapping[str, Clip]) -> bool:
    return clip in rows and rows[clip].path.is_file()


def draw_panels(run: Run, clips: Sequence[Clip], cache: Path, answered: Answered) -> list[Panel]:
    """Make the panels of videos that a run was asked about; those without an answer have none.

    Args:
        run: the run.
        clips: the videos, under the ids of this cache.
        cache: where their features are.
        answered: the answers, with their windows.
    """
    pictures = draw_thumbnails(clips, cache, settings=_settings_of(run))
    found = ((clip, answered.explanations.get(clip.id)) for clip in clips)
    return [
        _panel([run], replace(one, clip=clip.path.name), None, pictures[clip.id], "")
        for clip, one in found
        if one is not None and one.prediction is not None
    ]


def _read_rows(run: Run, manifest: Path | None) -> dict[str, Clip]:
    """Read the run's manifest, by clip; nothing where it is gone and nobody named another."""
    path = Path(run.info["manifest"]["path"]) if manifest is None else manifest
    if manifest is None and not path.is_file():
        return {}
    return dict(read_manifest(path, check_files=False).by_id)


def _find(name: str, run: Run, rows: Mapping[str, Clip]) -> str | Path:
    """Return the clip that an argument stands for, or else the video file that it is."""
    tested = set(run.predictions.clips)
    if name in tested:
        return name
    path = Path(name)
    own = [clip.id for clip in rows.values() if clip.path == path.absolute() and clip.id in tested]
    if len(own) == 1:  # several are parts of one file
        return own[0]
    if path.is_file():
        return path
    raise ValueError(
        f"{name} is neither a video file nor a clip that {run.path} was tested on"
        f"{did_you_mean(name, run.predictions.clips)}; its predictions.csv lists "
        f"{len(tested)}, such as {run.predictions.clips[0]}"
    )


def _explain_cached(
    runs: Sequence[Run],
    clips: Sequence[str],
    rows: Mapping[str, Clip],
    cache: Path | None,
    progress: Callable[[int, int], None] | None,
) -> dict[str | Path, Panel]:
    """Explain clips that the first run was tested on, from their features in the cache."""
    if not clips:
        return {}
    answers = []
    for run in runs:
        tested = set(run.predictions.clips)
        answers.append(explain_run(run, [one for one in clips if one in tested], cache=cache))
    pictures = draw_thumbnails(
        [rows[clip] for clip in dict.fromkeys(clips) if clip in rows],
        Path(str(runs[0].info["cache"])) if cache is None else cache,
        settings=_settings_of(runs[0]),
        progress=progress,
    )
    panels: dict[str | Path, Panel] = {}
    for clip, first in answers[0].items():
        second = answers[1].get(clip) if len(runs) > 1 else None
        note = ""
        if len(runs) > 1 and second is None:
            note = _NOT_TESTED.format(runs[1].path)
        why = "no pictures: the run's manifest doesn't have the clip, or is gone (see --manifest)"
        panels[clip] = _panel(runs, first, second, pictures.get(clip, ClipPictures(why=why)), note)
    return panels


def _explain_videos(
    runs: Sequence[Run],
    asked: Sequence[str | Path],
    rows: Mapping[str, Clip],
    answer: Callable[..., Answered],
    progress: Callable[[int, int], None] | None,
) -> tuple[dict[str | Path, Panel], dict[str, str]]:
    """Explain files that the first run wasn't tested on, and clips that it was whose cache is gone.

    Returns:
        Panel of each, and why some have none.
    """
    if not asked:
        return {}, {}
    clips = [
        replace(rows[one], id=f"video-{number}")
        if isinstance(one, str)
        else Clip(f"video-{number}", one.absolute())
        for number, one in enumerate(asked)
    ]
    with tempfile.TemporaryDirectory(prefix="avfuse-explain-") as folder:
        folds = [_folds_of(run, asked, clips) for run in runs]
        answers = [
            answer(run, clips, Path(folder), folds=own)
            for run, own in zip(runs, folds, strict=True)
        ]
        pictures = draw_thumbnails(
            clips, Path(folder), settings=_settings_of(runs[0]), progress=progress
        )
    known = {clip.path for clip in rows.values()}
    panels: dict[str | Path, Panel] = {}
    unseen = {}
    for clip, one in zip(clips, asked, strict=True):
        why = answers[0].why(clip.id)
        name = one if isinstance(one, str) else one.name
        first, second = (
            found and replace(found, clip=name, label=clip.label, speaker=clip.speaker)
            for found in (
                answers[0].explanations.get(clip.id),
                answers[-1].explanations.get(clip.id),
            )
        )
        if first is None or first.prediction is None:
            unseen[str(one)] = "; ".join(why) or "it has no frames and no sound"
            continue
        if isinstance(one, Path) and clip.path in known:
            why.insert(0, f"{runs[0].path} was trained on this clip, or left it out")
        if isinstance(one, str) and clip.id not in folds[-1]:
            second = None
            why.insert(0, _NOT_TESTED.format(runs[-1].path))
        panels[one] = _panel(
            runs, first, second if len(runs) > 1 else None, pictures[clip.id], "; ".join(why)
        )
    return panels, unseen


def _folds_of(
    run: Run, asked: Sequence[str | Path], clips: Sequence[Clip]
) -> dict[str, int | None]:
    """Return the fold that tested each clip, of those that the run was tested on."""
    table = run.predictions
    fold_of: dict[str | Path, int | None] = dict(zip(table.clips, table.folds, strict=True))
    return {clip.id: fold_of[one] for one, clip in zip(asked, clips, strict=True) if one in fold_of}


def _panel(
    runs: Sequence[Run],
    first: Explanation,
    second: Explanation | None,
    pictures: ClipPictures,
    note: str,
) -> Panel:
    pictures = replace(pictures, why="; ".join(filter(None, (note, pictures.why))))
    return Panel(first, second, pictures, tuple(name_runs(runs)))


def _settings_of(run: Run) -> ThumbnailSettings:
    """Return how clips are drawn: with the crops that the run's network was given."""
    sets = [one["folder"] for one in run.info["sets"] if FACES in one["spec"]["upstream"]]
    features = run.info["features"].get("video")
    return replace(PICTURES, name=sets[0] if sets and features else FACES)
