"""Stages of the sound: spectrograms decoded in blocks, and grids encoded from the cached ones."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from cache.digest import JSON
from cache.entries.entry import EntryError
from cache.entries.rows import OpenEntry
from cache.entries.source import SourceChangedError
from cache.sets.main_array import NUMBERS, WHOLE
from extractors.alexnet import min_steps
from extractors.sound.functionals import VOICE_FUNCTIONALS
from extractors.sound.steps import VOICE_STEPS
from extractors.sound.voice import VoiceStream
from extractors.spectrogram import LogMelStream, SpectrogramStream, step_times
from pipeline.extract.job import NOTED, Job, SetResult
from pipeline.extract.networks import use_encoder
from pipeline.extract.plan import PlannedSet
from pipeline.media.sound import SAMPLE_RATE, WaveformReader
from pipeline.workers.watchdog import guarded

STREAMS: dict[str, Callable[[int, Any], SpectrogramStream | LogMelStream | VoiceStream]] = {
    "spectrogram": SpectrogramStream,
    "logmel": LogMelStream,
    "voice": VoiceStream,
}
# Arrays of a voice, and the names of the numbers in them.
STEPS, FUNCTIONALS = "steps", "functionals"
VOICE: dict[str, JSON] = {STEPS: list(VOICE_STEPS), FUNCTIONALS: list(VOICE_FUNCTIONALS)}
NO_AUDIO = "no audio stream"


def extract_audio(job: Job, todo: Sequence[PlannedSet]) -> dict[str, SetResult]:
    """Decode the sound and compute what is wanted of it."""
    results: dict[str, SetResult] = {}
    for planned in todo:
        steps = AudioSteps(planned.name, job)
        with job.writer(planned) as writer:
            for arrays in job.watch.each("sound", steps):
                writer.append(**arrays)
            missing = [NO_AUDIO] if job.info.audio is None else steps.problems
            attributes: dict[str, JSON] = {
                "duration_seconds": job.info.duration_seconds,
                "notes": list(steps.notes),
                **({NUMBERS: VOICE} if planned.name == "voice" else {}),
            }
            with job.watch.step("commit"):
                writer.finish(missing=missing, attributes=attributes, facts=_facts(steps.notes))
        job.identities[planned.name] = writer.identity
        results[planned.name] = SetResult.made(missing, notes=steps.notes)
    return results


def _facts(notes: Sequence[str]) -> dict[str, JSON]:
    return {NOTED: True} if notes else {}


class AudioSteps:
    """Iterates over a clip's audio features, in blocks of ``times`` and one array of steps.

    Behind those of a voice comes the row of its functionals, if there is a step.

    There is always at least one block, so that an entry knows its arrays; it is empty where the
    clip has no sound. After the iteration ``problems`` says what is missing or was repaired, and
    ``notes`` what is odd but harmless.

    Args:
        name: the set, a key of ``STREAMS``.
        job: the clip in work.

    Raises:
        pipeline.media.container.MediaError: on iteration: the sound can't be decoded.
    """

    def __init__(self, name: str, job: Job) -> None:
        self.name = name
        self.job = job
        self.problems: list[str] = []
        self.notes: list[str] = []

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        """Decode from the beginning."""
        settings = self.job.plan.settings
        own = getattr(settings, self.name)
        stream = STREAMS[self.name](SAMPLE_RATE, own)
        reader = WaveformReader(self.job.clip.path, settings.decode, self.job.clip.span)
        array = STEPS if isinstance(stream, VoiceStream) else self.name
        done = 0

        def block(steps: np.ndarray) -> dict[str, np.ndarray]:
            nonlocal done
            times = step_times(done + len(steps), own)[done:] + reader.sound_start
            done += len(steps)
            return {"times": times, array: steps}

        yield block(stream.push(np.zeros(0, np.float32)))
        if self.job.info.audio is not None:
            for samples in guarded(reader, settings.hang_seconds):
                yield block(stream.push(samples))
            yield block(stream.finish())
            self.problems, self.notes = list(reader.problems), list(reader.notes)
            if done == 0:
                seconds = reader.decoded_samples / SAMPLE_RATE
                self.problems.append(
                    f"sound of {seconds:.3f} s is shorter than a window of {own.window_seconds} s"
                )
        if isinstance(stream, VoiceStream):
            yield {f"{WHOLE}{FUNCTIONALS}": stream.functionals()}


def extract_grids(job: Job, todo: Sequence[PlannedSet]) -> dict[str, SetResult]:
    """Encode the spectrograms that the cache holds, window by window; nothing is decoded."""
    results: dict[str, SetResult] = {}
    for planned in todo:
        with job.watch.step("load"):
            encoder = use_encoder(planned, job.plan)
        name = encoder.features
        upstream = next(other for other in job.plan.sets if other.name == name)
        with ExitStack() as stack:
            sound = _open_sound(job, upstream, stack, results)
            missing, attributes = sound.entry.missing, dict(sound.entry.attributes)
            attributes.pop(NOTED, None)
            notes = attributes["notes"]
            times = sound.rows["times"][:]
            writer = stack.enter_context(job.writer(planned, {name: sound.entry}))
            for at, grid in job.watch.each("sound", encoder.module.blocks(times, sound.rows[name])):
                writer.append(times=at, grid=grid)
            lengthened = 0 < len(times) < min_steps()
            with job.watch.step("commit"):
                attributes["lengthened"] = lengthened
                writer.finish(missing=missing, attributes=attributes, facts=_facts(notes))
        results[planned.name] = SetResult.made(missing, notes=notes)
    return results


def _open_sound(
    job: Job, planned: PlannedSet, stack: ExitStack, results: dict[str, SetResult]
) -> OpenEntry:
    """Open the entry that grids are made from, every bit verified, until the stack is left.

    One that is damaged, gone or of another file is made again, and its result added.
    """
    for again in (False, True):
        if again:
            results |= extract_audio(job, [planned])
        with contextlib.suppress(EntryError, FileNotFoundError), ExitStack() as trying:
            sounds = job.plan.feature_sets[planned.name]
            sound = trying.enter_context(sounds.open_entry(job.clip.id, verify=True))
            if sound.entry.source.same_content(job.source):
                stack.enter_context(trying.pop_all())
                return sound
    raise SourceChangedError(
        f"clip {job.clip.id}: another process replaced its {planned.name} by that of another file "
        "just now; give each file a clip id of its own, then run the same command again"
    )
