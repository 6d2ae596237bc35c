"""Stage one for one clip: video -> faces -> crops -> views -> embeddings -> entries.

``extract_clip`` brings every planned set of a clip up to date and says what became of each. It
streams: frames arrive in chunks, features leave in chunks, and memory doesn't grow with length.
Faces are found in a first pass over the frames and stored as geometry; a second pass decodes again
and crops, so that another network never detects again.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cache.commit import CacheWriteError
from cache.entry import Entry, EntryError
from cache.entry_writer import EntryWriter
from cache.feature_set import FeatureSet
from cache.manifest import Clip
from cache.source import Source, read_source
from extractors.alexnet import min_steps
from pipeline.audio import AudioSteps
from pipeline.crops import crop_faces
from pipeline.decode import Frames, MediaError, MediaInfo, VideoReader, probe
from pipeline.faces import find_faces
from pipeline.loaded import use_encoder, use_network
from pipeline.records import count_rungs, find_known, record_failures
from pipeline.results import ClipResult, SetResult
from pipeline.rungs import Rung
from pipeline.sets import Kind, Plan, PlannedSet
from pipeline.watchdog import guarded, time_limit

NO_VIDEO = "no video stream"
NO_AUDIO = "no audio stream"


@dataclass(frozen=True)
class _Job:
    """A clip on its way through the stages."""

    clip: Clip
    plan: Plan
    source: Source
    info: MediaInfo

    def frames(self) -> VideoReader:
        return VideoReader(
            self.clip.path,
            self.plan.settings.decode,
            start_seconds=self.clip.start_seconds,
            end_seconds=self.clip.end_seconds,
        )

    def writer(self, planned: PlannedSet) -> EntryWriter:
        feature_set = FeatureSet(self.plan.cache, planned.spec)
        return feature_set.writer(
            self.clip.clip, source=self.source, provenance=self.plan.provenance
        )


def extract_clip(clip: Clip, plan: Plan) -> ClipResult:
    """Compute what is missing of one clip's sets and commit each as an entry.

    A clip that can't be read becomes a recorded failure, never an exception: a run goes on.

    Raises:
        cache.commit.CacheWriteError: the cache can't be written; going on would lose every clip.
    """
    started = time.monotonic()
    results = {p.name: r for p in plan.sets if (r := find_known(clip, plan, p)) is not None}
    if len(results) < len(plan.sets):
        source: Source | None = None
        try:
            source = read_source(
                clip.path, start_seconds=clip.start_seconds, end_seconds=clip.end_seconds
            )
            with time_limit(plan.settings.hang_seconds):
                info = probe(clip.path, plan.settings.decode)
            job = _Job(clip, plan, source, info)
            if job.info.video is None and job.info.audio is None:
                raise MediaError(f"{clip.path} has neither picture nor sound")
        except Exception as error:  # noqa: BLE001 - see _reason
            todo = [planned for planned in plan.sets if planned.name not in results]
            results |= record_failures(clip, plan, todo, source, "open", _reason(error))
        else:
            for stage, compute in STAGES:
                todo = [p for p in plan.of_kind(stage) if p.name not in results]
                if todo:
                    results |= _attempt(job, stage, todo, compute, results)
    rungs = count_rungs(clip, plan) if "faces" in results else {}
    return ClipResult(clip.clip, results, rungs, time.monotonic() - started)


def _extract_faces(job: _Job, todo: Sequence[PlannedSet]) -> dict[str, SetResult]:
    """Find the clip's face in every frame."""
    settings, reader = job.plan.settings, job.frames()
    missing: list[str] = []
    if job.info.video is None:
        missing.append(NO_VIDEO)
        faces = find_faces((), settings.faces)
    else:
        faces = find_faces(guarded(reader, settings.hang_seconds), settings.faces)
        missing.extend(reader.problems)
        lost = int((faces.rung == Rung.WHOLE).sum())
        if lost:
            missing.append(f"{lost} of {len(faces.rung)} frames without a face")
    attributes = {
        "frame_size": list(reader.frame_size or ()),
        "declared_frames": job.info.video.declared_frames if job.info.video else None,
        "decoded_frames": reader.decoded_frames,
        "duration_seconds": job.info.duration_seconds,
    }
    with job.writer(todo[0]) as writer:
        writer.append(**faces.arrays())
        writer.finish(missing=missing, attributes=attributes)
    return {todo[0].name: _made(missing)}


def _extract_networks(job: _Job, todo: Sequence[PlannedSet]) -> dict[str, SetResult]:
    """Decode and crop once, and run every network on the crops."""
    settings = job.plan.settings
    faces, again = _read_upstream(job, job.plan.of_kind("faces")[0], _extract_faces)
    times, rungs = faces.arrays["times"], faces.arrays["rung"]
    size = settings.crops.size
    networks = [use_network(planned, job.plan) for planned in todo]
    done = 0
    with ExitStack() as stack:
        writers = [stack.enter_context(job.writer(planned)) for planned in todo]
        nothing = np.empty((0, size, size, 3), np.uint8)
        for writer, network in zip(writers, networks, strict=True):
            writer.append(times=times[:0], rung=rungs[:0], **network.extract(nothing))
        chunks = guarded(job.frames(), settings.hang_seconds) if job.info.video else ()
        for frames in _small(chunks, max(1, settings.decode.chunk_bytes // (3 * size * size))):
            rows = slice(done, done + len(frames))
            done += len(frames)
            if not np.array_equal(frames.times, times[rows]):
                raise MediaError(
                    f"{job.clip.path} decodes to other frames than when its faces were found, near "
                    f"frame {done}; remove the clip's faces entry and extract again"
                )
            crops = crop_faces(
                frames.images,
                faces.arrays["landmarks"][rows],
                faces.arrays["box"][rows],
                rungs[rows],
                settings.crops,
            )
            for writer, network in zip(writers, networks, strict=True):
                writer.append(times=frames.times, rung=rungs[rows], **network.extract(crops))
        for writer in writers:
            writer.finish(missing=faces.missing, attributes=faces.attributes)
    return again | {planned.name: _made(faces.missing) for planned in todo}


def _small(chunks: Iterable[Frames], most: int) -> Iterator[Frames]:
    """Cut chunks into such of at most ``most`` frames: crops may be larger than their frames."""
    for chunk in chunks:
        for start in range(0, len(chunk), most):
            part = slice(start, start + most)
            yield Frames(chunk.images[part], chunk.times[part])


def _extract_audio(job: _Job, todo: Sequence[PlannedSet]) -> dict[str, SetResult]:
    """Decode the sound and compute what is wanted of it."""
    results: dict[str, SetResult] = {}
    for planned in todo:
        steps = AudioSteps(planned.name, job.clip, job.info, job.plan.settings)
        with job.writer(planned) as writer:
            for arrays in steps:
                writer.append(**arrays)
            missing = [NO_AUDIO] if job.info.audio is None else steps.problems
            writer.finish(
                missing=missing, attributes={"duration_seconds": job.info.duration_seconds}
            )
        results[planned.name] = _made(missing)
    return results


def _extract_grids(job: _Job, todo: Sequence[PlannedSet]) -> dict[str, SetResult]:
    """Encode the spectrograms that the cache holds; nothing is decoded."""
    results: dict[str, SetResult] = {}
    for planned in todo:
        encoder = use_encoder(planned, job.plan)
        name = encoder.features
        upstream = next(other for other in job.plan.sets if other.name == name)
        sound, again = _read_upstream(job, upstream, _extract_audio)
        results |= again
        times = sound.arrays["times"]
        with job.writer(planned) as writer:
            for at, grid in encoder.module.blocks(times, sound.arrays[name]):
                writer.append(times=at, grid=grid)
            lengthened = 0 < len(times) < min_steps()
            writer.finish(
                missing=sound.missing,
                attributes={**sound.attributes, "lengthened": lengthened},
            )
        results[planned.name] = _made(sound.missing)
    return results


_Compute = Callable[[_Job, Sequence[PlannedSet]], dict[str, SetResult]]
STAGES: tuple[tuple[Kind, _Compute], ...] = (
    ("faces", _extract_faces),
    ("network", _extract_networks),
    ("audio", _extract_audio),
    ("grid", _extract_grids),
)


def _attempt(
    job: _Job,
    stage: str,
    todo: Sequence[PlannedSet],
    compute: _Compute,
    results: dict[str, SetResult],
) -> dict[str, SetResult]:
    """Run one stage; whatever goes wrong with the clip becomes its recorded failure."""
    for name in {name for planned in todo for name in planned.spec.upstream}:
        upstream = results.get(name)
        if upstream is not None and upstream.state == "failed":
            return record_failures(
                job.clip, job.plan, todo, job.source, name, "; ".join(upstream.why)
            )
    try:
        return compute(job, todo)
    except CacheWriteError:
        raise
    except Exception as error:  # noqa: BLE001 - see _reason
        return record_failures(job.clip, job.plan, todo, job.source, stage, _reason(error))


def _reason(error: Exception) -> str:
    """Say why a clip failed.

    Five libraries in C look at its bytes, each with exceptions of its own (cv2.error is no
    RuntimeError). What was not foreseen is recorded with its place, and the night's run goes on.
    """
    if isinstance(error, MediaError | OSError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(place.filename).name}:{place.lineno}"
    return f"{type(error).__name__}: {error} ({where})"


def _made(missing: Sequence[str]) -> SetResult:
    return SetResult("partial" if missing else "ok", tuple(missing))


def _read_upstream(
    job: _Job, planned: PlannedSet, compute: _Compute
) -> tuple[Entry, dict[str, SetResult]]:
    """Read the entry that another is made from, every bit verified; a damaged one is made again.

    Returns:
        The entry, and what became of its set if it was made again.
    """
    feature_set = FeatureSet(job.plan.cache, planned.spec)
    try:
        return feature_set.read(job.clip.clip, verify=True), {}
    except EntryError:
        again = compute(job, [planned])
        return feature_set.read(job.clip.clip, verify=True), again
