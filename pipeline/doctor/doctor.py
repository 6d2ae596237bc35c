"""Checks of a corpus before a long run: what would spoil it, and what is worth a look.

Each clip is examined in a worker process that may hang or crash without harm; then the clips are
compared with each other (``pipeline.doctor.checks``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path

from cache.manifest.clip import Clip
from cache.manifest.manifest import ManifestError, read_manifest
from pipeline.doctor.checks import CHECKS
from pipeline.doctor.diagnosis import CorpusFacts, Diagnosis, Finding
from pipeline.doctor.examine import Examination, examine_clip
from pipeline.workers.cores import num_cores
from pipeline.workers.pool import WorkerDied, map_clips


def diagnose_manifest(
    manifest: Path,
    *,
    sample: int = 3,
    jobs: int | None = None,
    follow_links: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Diagnosis:
    """Examine every clip of a manifest and compare the clips with each other.

    A manifest that can't be used is a finding too.

    Args:
        manifest: the manifest's file.
        sample: frames of each clip to look for a face in; 0 decodes no picture.
        jobs: worker processes; None is one per core, 0 works in this process.
        follow_links: allow links that lead out of the corpus.
        progress: called with the number of clips examined and of all.

    Raises:
        WorkersFailedError: no worker process can be started.
    """
    try:
        clips = read_manifest(manifest, check_files=False).clips
    except ManifestError as error:
        findings = tuple(Finding("spoils", "manifest", text) for text in error.problems)
        return Diagnosis(CorpusFacts((), {}), findings)
    problems = [] if follow_links else _leaving_links(manifest)
    examined: dict[str, Examination] = {}
    for found in examine_corpus(clips, sample=sample, jobs=num_cores() if jobs is None else jobs):
        examined[found.clip] = found
        if progress is not None:
            progress(len(examined), len(clips))
    return diagnose(clips, examined, problems)


def examine_corpus(clips: Sequence[Clip], *, sample: int, jobs: int) -> Generator[Examination]:
    """Examine every clip; a file that hangs or ends its worker becomes a result like any other.

    Args:
        clips: the clips.
        sample: frames of each to look for a face in.
        jobs: worker processes; 0 works in this one, where a hanging file is not stopped.
    """
    work = functools.partial(examine_clip, sample=sample)
    return map_clips(work, clips, jobs=min(jobs, len(clips)), failed=_died)


def diagnose(
    clips: Sequence[Clip], examined: Mapping[str, Examination], problems: Sequence[str] = ()
) -> Diagnosis:
    """Compare the clips of a corpus with each other; findings that spoil a run come first.

    Args:
        clips: the manifest's clips.
        examined: what was found of each, by id.
        problems: what is wrong with the manifest itself.
    """
    corpus = CorpusFacts(clips, examined)
    findings = [Finding("spoils", "manifest", problem) for problem in problems]
    findings += [finding for check in CHECKS for finding in check(corpus)]
    findings.sort(key=lambda finding: finding.severity != "spoils")
    return Diagnosis(corpus, tuple(findings))


def _died(clip: Clip, died: WorkerDied) -> Examination:
    return Examination(clip.id, problem=f"{clip.path}: {died}")


def _leaving_links(manifest: Path) -> list[str]:
    """Return the links out of the corpus, which ``extract`` refuses; missing files are findings."""
    try:
        read_manifest(manifest)
    except ManifestError as error:
        return [problem for problem in error.problems if "by a symbolic link" in problem]
    return []
