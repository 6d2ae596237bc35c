"""Looking a corpus over before the night's run: what would spoil it, and what is worth a look.

Each clip is examined in a worker process that may hang or crash without harm; then the clips are
compared with each other (``pipeline.doctor.checks``).
"""

from __future__ import annotations

import functools
from collections.abc import Generator, Mapping, Sequence

from cache.manifest.clip import Clip
from pipeline.doctor.checks import CHECKS
from pipeline.doctor.diagnosis import CorpusFacts, Diagnosis, Finding
from pipeline.doctor.examine import Examination, examine_clip
from pipeline.workers.pool import WorkerDied, map_clips


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
