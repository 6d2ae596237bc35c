"""The stages that look at the picture: all faces of a clip, and networks on the chosen one.

Faces are found in a first pass over the frames and stored as geometry. A second pass decodes again,
chooses and crops, so that another network, policy or choice by hand never detects again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from cache.digest import JSON, digest_array
from cache.entries.coverage import FACT, Coverage
from cache.entries.entry import Entry
from cache.entries.writer import EntryWriter
from cache.settings import settings_from
from pipeline.choice.choice import FaceArrays, choose_faces, place_given
from pipeline.choice.clip_persons import ClipPersons, check_fresh, persons_of
from pipeline.choice.overrides import Override
from pipeline.extract.job import NOTED, Job, SetResult
from pipeline.extract.networks import use_detector, use_network, use_recogniser, use_second
from pipeline.extract.plan import TOGETHER, PlannedSet
from pipeline.faces.crops import crop_faces
from pipeline.faces.detect import FivePointPredictor
from pipeline.faces.landmarks import are_upright, count_upright
from pipeline.faces.search import track_faces
from pipeline.faces.settings import CropSettings
from pipeline.faces.tracks import BoxSource, measure_coverage, read_tracks
from pipeline.media.frames import Frames, MediaError
from pipeline.workers.pulse import count_frames
from pipeline.workers.remote import Answer, Network, ask
from pipeline.workers.watchdog import guarded

FACES = "faces"  # the set that networks are made from
NO_VIDEO = "no video stream"
OTHER_FRAMES = "{path} decodes to other frames than just now, near frame {near}"
# Frames, and per network what waits for their embeddings.
Asked: TypeAlias = tuple[slice, list[Callable[[], Answer]]]


def extract_faces(job: Job, _: Sequence[PlannedSet]) -> dict[str, SetResult]:
    """Find and follow every face of the clip, and embed who they are where that is planned."""
    settings, reader = job.plan.settings, job.frames()
    faces, *beside = job.plan.of_kind(*TOGETHER)
    missing: list[str] = []
    with job.watch.step("load"):
        recogniser = use_recogniser(job.plan)
    if job.info.video is None:
        missing.append(NO_VIDEO)
        found = track_faces((), recogniser=recogniser)
    else:
        frames = job.watch.each("decode", guarded(reader, settings.hang_seconds))
        with job.watch.step("load"):
            use_detector(settings.faces)
            second = use_second(faces, job.plan)
        with job.watch.step("faces"):
            found = track_faces(
                frames,
                settings.faces,
                second=second,
                recogniser=recogniser,
                on_frame=lambda has_face: count_frames(with_face=has_face),
            )
        missing.extend(reader.problems)
    attributes: dict[str, JSON] = {
        "frame_size": list(reader.frame_size or ()),
        "declared_frames": job.info.video.declared_frames if job.info.video else None,
        "decoded_frames": reader.decoded_frames,
        "duration_seconds": job.info.duration_seconds,
        "notes": list(reader.notes),
        "problems": list(missing),
    }
    problems = tuple(missing)
    missing += _without_face(found.rung)
    coverage = measure_coverage(found.rung, found.times, upright=count_upright(found.tracks))
    facts = _facts(coverage, reader.notes)
    arrays = found.arrays()
    entry = Entry(
        job.clip.id,
        arrays,
        "partial" if missing else "ok",
        tuple(missing),
        {**attributes, **facts},
        job.source,
        dict(job.plan.provenance),
        checksums={name: digest_array(array) for name, array in arrays.items()},
    )
    with ExitStack() as stack:
        writer = stack.enter_context(job.writer(faces))
        writer.append(**arrays)
        others = [stack.enter_context(job.writer(other, {FACES: entry})) for other in beside]
        for other in others:
            other.append(**(found.identity.arrays() if found.identity else {}))
        ending = stack.pop_all()

    def commit() -> Path:
        with ending:
            path = writer.finish(missing=missing, attributes=attributes, facts=facts)
            for other in others:
                other.finish(missing=problems)
            return path

    if job.plan.of_kind("network"):
        job.commit_in_background(commit)
    else:
        with job.watch.step("commit"):
            commit()
    job.entries[faces.name], job.identities[faces.name] = entry, entry.identity
    return {
        faces.name: SetResult.made(missing, coverage, reader.notes),
        **{other.name: SetResult.made(problems) for other in beside},
    }


class OtherFramesError(MediaError):
    """A clip decodes to other frames than when its faces were found."""


def extract_networks(job: Job, todo: Sequence[PlannedSet]) -> dict[str, SetResult]:
    """Run every network on the crops of the chosen face.

    Where the clip decodes to other frames than when its faces were found, by another FFmpeg, its
    faces are found anew.
    """
    faces = job.plan.of_kind("faces")[0]
    entry, again = job.read_upstream(faces, extract_faces)
    try:
        return again | _embed(job, todo, entry)
    except OtherFramesError:
        if faces.name in job.entries:  # found just now
            raise
    again = extract_faces(job, [faces])
    return again | _embed(job, todo, job.entries[faces.name])


def _embed(job: Job, todo: Sequence[PlannedSet], entry: Entry) -> dict[str, SetResult]:
    """Decode once, choose the face and crop it, and run every network on the crops."""
    settings, plan = job.plan.settings, job.plan
    overrides, found = plan.overrides.get(job.clip.id, ()), read_tracks(entry)
    persons = _persons(job) if len(found.tracks) else None
    faces = choose_faces(
        found,
        settings.faces.policy,
        overrides,
        persons=persons,
        switch_seconds=settings.faces.switch_seconds,
    )
    with job.watch.step("load"):
        use_detector(settings.faces)
        networks = [use_network(planned, plan) for planned in todo]
    # Where a face was found and another policy leaves it out, the network's lack is another one.
    left_out = bool(((faces.rung == BoxSource.WHOLE) & (found.rung != BoxSource.WHOLE)).any())
    what = "the chosen face" if left_out else "a face"
    missing = [*entry.attributes["problems"], *_without_face(faces.rung, what)]
    upright = int(are_upright(faces.box, faces.landmarks).sum())
    coverage = measure_coverage(faces.rung, faces.times, upright=upright)
    notes = entry.attributes.get("notes", ())
    facts = _facts(coverage, notes) | plan.choices(job.clip.id, "network")
    with ExitStack() as stack:
        upstream = {FACES: entry}
        writers = [stack.enter_context(job.writer(planned, upstream)) for planned in todo]
        framings = [_framing(planned) for planned in todo]
        before: Asked | None = None
        for rows, crops in _crops(job, faces, framings):
            with job.watch.step("network"):
                pairs = zip(networks, framings, strict=True)
                answers = [ask(network, crops[framing]) for network, framing in pairs]
            if before:  # a consumer embeds these crops while the next are decoded
                _append(job, writers, faces, *before)
            before = rows, answers
        if before:
            _append(job, writers, faces, *before)
        job.wait_for_commits()  # no embeddings are in the cache before their faces
        for writer, network in zip(writers, networks, strict=True):
            attributes = {**_about(entry, overrides, persons), **_precision(network)}
            with job.watch.step("commit"):
                writer.finish(missing=missing, attributes=attributes, facts=facts)
    return {planned.name: SetResult.made(missing, coverage, notes) for planned in todo}


def _append(
    job: Job,
    writers: Sequence[EntryWriter],
    faces: FaceArrays,
    rows: slice,
    answers: Sequence[Callable[[], Answer]],
) -> None:
    """Wait for the embeddings of some frames and add them to their entries."""
    for writer, answer in zip(writers, answers, strict=True):
        with job.watch.step("network") as shares:
            found = answer()
            shares.update(found.shares)
        with job.watch.step("commit"):
            writer.append(**_rows(faces, rows), **found.arrays)


def _framing(planned: PlannedSet) -> CropSettings:
    """Return the framing of a network's crops, from the settings of its set."""
    crops = planned.spec.settings["crops"]
    return settings_from(CropSettings, cast("Mapping[str, Any]", crops))


def _crops(
    job: Job, faces: FaceArrays, framings: Sequence[CropSettings]
) -> Iterator[tuple[slice, dict[CropSettings, np.ndarray]]]:
    """Decode the clip again and cut the chosen face out of every frame, in pieces.

    Networks that were trained on faces framed otherwise get crops of their own. There is at least
    one piece, so that an entry knows its arrays; it is empty where the clip has no picture.

    Raises:
        OtherFramesError: see there.
    """
    settings, framings = job.plan.settings, list(dict.fromkeys(framings))
    predictor = FivePointPredictor()
    room = max(1, settings.decode.chunk_bytes // (3 * settings.crops.size**2 * len(framings)))
    chunks = guarded(job.frames(), settings.hang_seconds) if job.info.video else ()
    done = 0
    for frames in _small(job.watch.each("decode", chunks), room):
        rows = slice(done, done + len(frames))
        if not np.array_equal(frames.times, faces.times[rows]):
            raise OtherFramesError(OTHER_FRAMES.format(path=job.clip.path, near=rows.start))
        with job.watch.step("crops"):
            points = place_given(faces, done, frames.images, predictor)
            chosen = (points, faces.box[rows], faces.rung[rows])
            crops = {one: crop_faces(frames.images, *chosen, one) for one in framings}
        done = rows.stop
        with_face = int((faces.rung[rows] != BoxSource.WHOLE).sum())
        count_frames(len(frames), with_face=with_face, again=FACES in job.entries)
        yield rows, crops
    if done < len(faces.times):
        raise OtherFramesError(OTHER_FRAMES.format(path=job.clip.path, near=done))
    if not done:
        nothing = np.empty((0, settings.crops.size, settings.crops.size, 3), np.uint8)
        yield slice(0, 0), dict.fromkeys(framings, nothing)


def _rows(faces: FaceArrays, rows: slice) -> dict[str, np.ndarray]:
    """Return what a network's entry holds beside the features: which face each frame's is of."""
    return {"times": faces.times[rows], "rung": faces.rung[rows], "track": faces.track[rows]}


def _facts(coverage: Coverage, notes: Sequence[str]) -> dict[str, JSON]:
    """Return what an entry's header says of its clip."""
    return {FACT: coverage.to_json(), **({NOTED: True} if notes else {})}


def _persons(job: Job) -> ClipPersons | None:
    """Return who is on the clip's tracks, if the policy asks for it and there is a table.

    Raises:
        StalePersonsError: the table is of other faces.
    """
    plan = job.plan
    if plan.persons is None:
        return None
    job.wait_for_commits()  # the table is of entries on the disk
    check_fresh(plan.cache, job.clip.id, plan.persons)
    return persons_of(job.clip.id, plan.persons, plan.settings.faces.policy)


def _about(
    entry: Entry, overrides: Sequence[Override], persons: ClipPersons | None
) -> dict[str, JSON]:
    """Return the attributes of the faces' entry without its facts, and what chose among them."""
    own = {name: value for name, value in entry.attributes.items() if name not in (FACT, NOTED)}
    own["by_hand"] = [override.to_json() for override in overrides]
    return {**own, **({"by_person": persons.to_json()} if persons else {})}


def _precision(network: Network) -> dict[str, JSON]:
    """Return what the chosen precision cost on the first batch, where it is not float32."""
    if network.deviation is None:
        return {}
    return {"deviation_from_float32": dict(network.deviation)}


def _without_face(rung: np.ndarray, what: str = "a face") -> list[str]:
    lost = int((rung == BoxSource.WHOLE).sum())
    return [f"{lost} of {len(rung)} frames without {what}"] if lost else []


def _small(chunks: Iterable[Frames], most: int) -> Iterator[Frames]:
    """Cut chunks into such of at most ``most`` frames: crops may be larger than their frames."""
    for chunk in chunks:
        for start in range(0, len(chunk), most):
            part = slice(start, start + most)
            yield Frames(chunk.images[part], chunk.times[part])
