"""Checks of a corpus before a long run: what would spoil it, and what is worth a look.

Each clip is examined in a worker process that may hang or crash without harm; then the clips are
compared with each other (``pipeline.doctor.checks``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from pathlib import Path

from cache.manifest.clip import Clip
from cache.manifest.manifest import ManifestError, read_manifest
from cache.persons import find_stale_persons, read_persons
from cache.sets.scan import check_cache
from cache.wording import number_of
from extractors.networks import NETWORKS
from extractors.plugins import CORPORA, ENCODERS, POOLINGS, find_problems
from pipeline.doctor.checks import CHECKS
from pipeline.doctor.diagnosis import CorpusFacts, Diagnosis, Finding
from pipeline.doctor.examine import Examination, examine_clip
from pipeline.doctor.settings import DoctorSettings
from pipeline.faces.second import find_model
from pipeline.workers.cores import num_cores
from pipeline.workers.pool import WorkerDied, map_clips


def diagnose_manifest(
    manifest: Path,
    *,
    settings: DoctorSettings | None = None,
    cache: Path | None = None,
    jobs: int | None = None,
    follow_links: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Diagnosis:
    """Examine every clip of a manifest and compare the clips with each other.

    A manifest that can't be used is a finding too.

    Args:
        manifest: the manifest's file.
        settings: which frames of each clip to look at, and how to look for faces.
        cache: folder of the cache whose persons are compared; see ``avfuse persons``.
        jobs: worker processes; None is one per core, 0 works in this process.
        follow_links: allow links that lead out of the corpus.
        progress: called with the number of clips examined and of all.

    Raises:
        WorkersFailedError: no worker process can be started.
        SecondDetectorError: the second detector of faces can't run here.
        NotACacheError: ``cache`` is not a cache.
        PersonsError: its table of persons is damaged.
        OSError: the cache can't be read.
    """
    settings = settings or DoctorSettings()
    try:
        clips = read_manifest(manifest, check_files=False).clips
    except ManifestError as error:
        findings = tuple(Finding("spoils", "manifest", text) for text in error.problems)
        return Diagnosis(CorpusFacts((), {}), findings)
    if settings.sample:
        find_model(settings.faces, None)
    people, unchecked = _read_people(cache, manifest, clips)
    if not settings.sample:
        unchecked.append("faces, as no frame is looked at; leave out --sample 0")
    problems = [] if follow_links else _leaving_links(manifest)
    examined: dict[str, Examination] = {}
    for found in examine_corpus(clips, settings, jobs=num_cores() if jobs is None else jobs):
        examined[found.clip] = found
        if progress is not None:
            progress(len(examined), len(clips))
    return diagnose(
        clips,
        examined,
        problems,
        people=people,
        unchecked=unchecked,
        plugins=tuple(find_plugin_problems()),
    )


def examine_corpus(
    clips: Sequence[Clip], settings: DoctorSettings, *, jobs: int
) -> Generator[Examination]:
    """Examine every clip; a file that hangs or ends its worker becomes a result like any other.

    Args:
        clips: the clips.
        settings: which frames of each to look at, and how to look for faces.
        jobs: worker processes; 0 works in this one, where a hanging file is not stopped.
    """
    work = functools.partial(examine_clip, settings=settings)
    return map_clips(work, clips, jobs=min(jobs, len(clips)), failed=_died)


def diagnose(
    clips: Sequence[Clip],
    examined: Mapping[str, Examination],
    problems: Sequence[str] = (),
    *,
    people: Mapping[str, Collection[str]] | None = None,
    unchecked: Sequence[str] = (),
    plugins: Sequence[str] = (),
) -> Diagnosis:
    """Compare the clips of a corpus with each other; findings that spoil a run come first.

    Args:
        clips: the manifest's clips.
        examined: what was found of each, by id.
        problems: what is wrong with the manifest itself.
        people: names of the persons who are seen in each clip, by the clip's id.
        unchecked: what wasn't looked at, and what to do about it.
        plugins: what is wrong with those that are installed.
    """
    corpus = CorpusFacts(clips, examined, people or {})
    findings = [Finding("spoils", "manifest", problem) for problem in problems]
    findings += [finding for check in CHECKS for finding in check(corpus)]
    findings += [Finding("look", "plug-in", problem) for problem in plugins]
    findings.sort(key=lambda finding: finding.severity != "spoils")
    return Diagnosis(corpus, tuple(findings), tuple(unchecked))


def find_plugin_problems() -> Iterator[str]:
    """Load every plug-in that is installed; yield what is wrong with them, a sentence each."""
    yield from NETWORKS.problems()
    for group in (CORPORA, ENCODERS, POOLINGS):
        yield from find_problems(group)


def _read_people(
    cache: Path | None, manifest: Path, clips: Sequence[Clip]
) -> tuple[dict[str, Collection[str]], list[str]]:
    """Return the persons who are seen in each clip, and why they aren't known of others."""
    unchecked: list[str] = []
    if len({clip.split for clip in clips} - {None}) < 2:
        return {}, unchecked
    if cache is None:
        how = f"'avfuse persons {manifest} --cache CACHE' after extract, then pass --cache CACHE"
        return {}, [f"whether a person is in several splits; run {how}"]
    check_cache(cache)
    again = f"run 'avfuse persons {manifest} --cache {cache}'"
    persons = read_persons(cache)
    if persons is None:
        return {}, [f"whether a person is in several splits: {cache} has no persons; {again}"]
    ids = [clip.id for clip in clips]
    stale = find_stale_persons(cache, persons, ids)
    if stale:
        first, why = next(iter(stale.items()))
        unchecked.append(
            f"the persons of {number_of(len(stale), 'clip')}, such as {first}: {why}; {again} again"
        )
    if absent := len(set(ids) - persons.clips.keys() - stale.keys()):
        unchecked.append(
            f"the persons of {number_of(absent, 'clip')} without an entry in {persons.set}; "
            f"extract, then {again} again"
        )
    return {c: set(persons.in_clip(c).values()) for c in ids if c not in stale}, unchecked


def _died(clip: Clip, died: WorkerDied) -> Examination:
    return Examination(clip.id, problem=f"{clip.path}: {died}")


def _leaving_links(manifest: Path) -> list[str]:
    """Return the links out of the corpus, which ``extract`` refuses; missing files are findings."""
    try:
        read_manifest(manifest)
    except ManifestError as error:
        return [problem for problem in error.problems if "by a symbolic link" in problem]
    return []
