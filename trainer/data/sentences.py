"""Voices laid along the sentence that they say, so that a vowel is compared with the same vowel.

For corpora whose speakers read the same few sentences. A template of each sentence is made of
training clips alone; which sentence a clip says is found by the cost of laying it along each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cache.wording import name_some, number_of
from extractors.sound.spectrum import CEPSTRUM_BANDS
from extractors.sound.steps import TILT, VOICE_STEPS
from trainer.data.alignment import align, make_template
from trainer.data.sequences import Sequences

Array = NDArray[np.float32]
NUM_PLACES = 20
SHORTENED = 2  # steps of 10 ms in one that is aligned
MOST_SECONDS = 60.0  # of a sentence
MOST_STEPS = round(100 * MOST_SECONDS) // SHORTENED  # of a template
MOST_SENTENCES = 100
QUIET_DB = 30.0  # below the loud steps: silence before and after the words
MARGIN = 10  # steps of 10 ms that are kept around them
NUM_ALIGNED, NUM_DESCRIBED = 14, 16  # cepstra that takes are aligned by, and described by
NUM_STEPS = 2 * NUM_ALIGNED
CONTOUR = (
    *(f"cepstrum_{number}" for number in range(NUM_DESCRIBED)),
    "pitch_semitones",
    "voiced",
    "loudness",
    *TILT,
    "strength",
)
PITCH, LOUDNESS = CONTOUR.index("pitch_semitones"), CONTOUR.index("loudness")
NUM_NUMBERS = NUM_PLACES * (len(CONTOUR) + 3)


class SentenceError(ValueError):
    """Clips that can't be laid along sentences; names them."""


@dataclass(frozen=True, eq=False)
class Templates:
    """Templates of sentences, made of training clips.

    Args:
        sentences: the K sentences, sorted.
        steps: (S, 28) each: what takes of it are laid along.
    """

    sentences: tuple[str, ...]
    steps: tuple[Array, ...]


@dataclass(frozen=True, eq=False)
class Speech:
    """The voices of N clips step by step, and what each says.

    Args:
        clip_ids: (N,), for messages.
        steps: D numbers every 10 ms; a clip without sound has no step.
        sentences: (N,) what is said; None where it isn't known.

    Raises:
        SentenceError: the steps are of other numbers than a voice's.
    """

    clip_ids: tuple[str, ...]
    steps: Sequences
    sentences: tuple[str | None, ...]
    _takes: dict[int, tuple[Array, Array]] = field(default_factory=dict, init=False, repr=False)
    _memo: dict[str, tuple[object, object]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.steps.shape != (len(VOICE_STEPS),):
            raise SentenceError(
                f"audio.align=sentence needs steps of {len(VOICE_STEPS)} numbers, as the set voice "
                f"has them, got steps of shape {self.steps.shape}; set audio.set=voice"
            )

    def fit(self, train: NDArray[np.int64], labels: NDArray[np.int64]) -> Templates:
        """Make a template of each sentence that the training clips say.

        Args:
            train: indices of the training clips; only their steps and sentences are used.
            labels: (N,) index of each clip's class, only to refuse sentences that tell it.

        Raises:
            SentenceError: no training clip has a sentence, there are more than
                ``MOST_SENTENCES``, all clips of one are of one class though there are several,
                or a clip lasts longer than ``MOST_SECONDS``.
        """
        key = train.tobytes()
        known = self._memo.get("fitted")
        if known and known[0] == key and isinstance(known[1], Templates):
            return known[1]
        said: dict[str, list[int]] = {}
        for i in train.tolist():
            if self.sentences[i] and self.steps.lengths[i]:
                said.setdefault(self.sentences[i] or "", []).append(i)
        self._check_sentences(said, len(train), labels)
        sentences = tuple(sorted(said))
        templates = Templates(
            sentences, tuple(make_template([self._take(i)[0] for i in said[s]]) for s in sentences)
        )
        self._memo["fitted"] = key, templates
        return templates

    def _check_sentences(
        self, said: Mapping[str, Sequence[int]], num_clips: int, labels: NDArray[np.int64]
    ) -> None:
        if not said:
            raise SentenceError(
                f"audio.align=sentence: none of the {num_clips} training clips says in the "
                "manifest's column sentence what is spoken; fill it in, or make the manifest again "
                "with avfuse index where the corpus has sentences"
            )
        if len(said) > MOST_SENTENCES:
            raise SentenceError(
                f"audio.align=sentence: the training clips have {len(said)} sentences, at most "
                f"{MOST_SENTENCES} are aligned; it is for corpora whose speakers read the same few"
            )
        classes = {sentence: set(labels[clips].tolist()) for sentence, clips in said.items()}
        telling = [sentence for sentence, found in classes.items() if len(found) == 1]
        if telling and len(set().union(*classes.values())) > 1:
            raise SentenceError(
                f"audio.align=sentence: {number_of(len(telling), 'sentence')} of {len(said)} "
                f"said with one class only, which would tell the class: {name_some(telling)}"
            )

    def lay_along(self, templates: Templates) -> Sequences:
        """Describe every clip at ``NUM_PLACES`` places of the sentence that it says.

        Returns:
            One step of ``NUM_NUMBERS`` numbers a clip, at the middle of its time; none for a clip
            without sound. See ``describe_places``.

        Raises:
            SentenceError: a clip lasts longer than ``MOST_SECONDS``.
        """
        known = self._memo.get("laid")
        if known and known[0] is templates and isinstance(known[1], Sequences):
            return known[1]
        heard = np.flatnonzero(self.steps.lengths).tolist()
        takes = [self._take(i)[0] for i in heard]
        found = [align(template, takes) for template in templates.steps]
        cheapest = np.argmin([one.costs for one in found], axis=0)
        values = np.empty((len(heard), NUM_NUMBERS), np.float32)
        middle = np.empty(len(heard))
        for row, (clip, own) in enumerate(zip(heard, cheapest, strict=True)):
            size = len(templates.steps[own])
            values[row] = describe_places(self._take(clip)[1], found[own].places[row], size)
            middle[row] = self.steps.times_of(clip)[[0, -1]].mean()
        offsets = np.concatenate([[0], np.cumsum(self.steps.lengths > 0)])
        laid = Sequences(values, middle, offsets)
        self._memo["laid"] = templates, laid
        return laid

    def _spoken(self, clip: int) -> dict[str, NDArray[np.float64]]:
        """Return the numbers of a clip's steps by name, from its first word to its last."""
        steps = self.steps.of(clip)
        part = find_words(steps[:, VOICE_STEPS.index("level_db")])
        seconds = (part.stop - part.start) / 100
        if seconds > MOST_SECONDS:
            raise SentenceError(
                f"audio.align=sentence: clip {self.clip_ids[clip]} has {seconds:.0f} s of speech, "
                f"expected one sentence of at most {MOST_SECONDS:g} s; set audio.align=none"
            )
        return dict(zip(VOICE_STEPS, steps[part].T.astype(np.float64), strict=True))

    def _take(self, clip: int) -> tuple[Array, Array]:
        """Return what of a clip is aligned, and its contour; the same for every template."""
        if clip not in self._takes:
            spoken = self._spoken(clip)
            cepstra = [spoken[f"cepstrum_{number}"] for number in range(NUM_ALIGNED)]
            self._takes[clip] = prepare_steps(np.column_stack(cepstra)), make_contour(spoken)
        return self._takes[clip]


def make_contour(spoken: Mapping[str, NDArray[np.float64]]) -> Array:
    """Take the numbers of ``CONTOUR`` from those of a voice's steps, (T, 26).

    The pitch of unvoiced steps lies between those of the voiced ones beside them; loudness is a
    logarithm.

    Args:
        spoken: (T,) of each name in ``VOICE_STEPS``.
    """
    voiced = spoken["pitch_hz"] > 0
    changed = {"voiced": voiced, "loudness": np.log(np.maximum(spoken["loudness"], 0.0) + 1e-3)}
    if voiced.any():
        semitones = spoken["pitch_semitones"][voiced]
        steps = np.arange(len(voiced))
        changed["pitch_semitones"] = np.interp(steps, np.flatnonzero(voiced), semitones)
    columns = {**spoken, **changed}
    return np.column_stack([columns[name] for name in CONTOUR]).astype(np.float32)


def find_words(level: NDArray[np.floating]) -> slice:
    """Find where somebody speaks: from the first loud step to the last, with a margin.

    Args:
        level: (T,) dB of each step of 10 ms, T at least 1.
    """
    width = min(5, len(level))
    smooth = np.convolve(10 ** (level / 10), np.ones(width) / width, "same")
    loud = np.flatnonzero(smooth >= np.percentile(smooth, 97) / 10 ** (QUIET_DB / 10))
    return slice(max(0, int(loud[0]) - MARGIN), min(len(level), int(loud[-1]) + 1 + MARGIN))


def prepare_steps(cepstra: NDArray[np.float64]) -> Array:
    """Free cepstra of level and voice, and put their slopes beside them: what is aligned.

    Args:
        cepstra: (T, 14) every 10 ms, T at least 1.

    Returns:
        (T // 2, 28), at least (2, 28), every 20 ms.
    """
    least = 2 * SHORTENED
    cepstra = np.pad(cepstra, ((0, max(0, least - len(cepstra))), (0, 0)), mode="edge")
    steps = cepstra[: len(cepstra) // SHORTENED * SHORTENED]
    steps = steps.reshape(-1, SHORTENED, steps.shape[1]).mean(axis=1)
    energy = steps[:, 0] / np.sqrt(CEPSTRUM_BANDS)  # the mean logarithm of the bands
    level = energy - np.percentile(energy, 95)
    loud = steps[level > -4, 1:]
    steps[:, 1:] = (steps[:, 1:] - loud.mean(axis=0)) / (loud.std(axis=0) + 0.3)
    steps[:, 0] = np.maximum(level / 1.5, -4.0)
    slopes = 1.5 * np.gradient(steps, axis=0)
    return np.concatenate([steps, slopes], axis=1).astype(np.float32)


def describe_places(contour: NDArray[np.floating], places: NDArray[np.int64], size: int) -> Array:
    """Describe a take at equal parts of the template of its sentence.

    Args:
        contour: (T, 26), the numbers of ``CONTOUR`` every 10 ms.
        places: of its steps of 20 ms.
        size: S, steps of the template.

    Returns:
        (580,): for each of the 20 parts the means of the 26 numbers; logarithms of the steps that
        each part takes; pitch, then loudness, of each part less their mean over the parts. A part
        that the take leaps over has the means of the one before.
    """
    parts = np.repeat(np.minimum(places * NUM_PLACES // size, NUM_PLACES - 1), SHORTENED)
    parts = np.pad(parts, (0, max(0, len(contour) - len(parts))), mode="edge")[: len(contour)]
    count = np.bincount(parts, minlength=NUM_PLACES)
    means = np.zeros((NUM_PLACES, contour.shape[1]))
    np.add.at(means, parts, contour)
    means /= np.maximum(count, 1)[:, None]
    for part in np.flatnonzero(count == 0):
        means[part] = means[part - 1] if part else contour[0]
    relative = means[:, [PITCH, LOUDNESS]] - means[:, [PITCH, LOUDNESS]].mean(axis=0)
    numbers = [means.ravel(), np.log(count + 2.0), relative.T.ravel()]
    return np.concatenate(numbers).astype(np.float32)
