"""Clips of a cache as a dataset of PyTorch, for training loops of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils import data

from cache.manifest.manifest import Manifest, read_manifest
from cache.sets.scan import check_cache
from cache.settings import listed, settings_from
from cache.wording import number_of
from trainer.data.corpus import CorpusError, load_available
from trainer.data.sequences import Steps
from trainer.settings import HeadSettings

MODALITIES = ("video", "audio")


class Example(NamedTuple):
    """One clip.

    Attributes:
        features: modality to (T, ...) float32; T is 0 where the clip lacks the modality.
        label: index of its class in ``Dataset.classes``.
        clip: its id.
    """

    features: dict[str, Tensor]
    label: int
    clip: str


class Batch(NamedTuple):
    """Clips padded to the longest of them.

    Attributes:
        features: modality to features (B, T, ...) float32, 0 where the mask (B, T), bool, is
            False. T is at least 1.
        labels: (B,) int64.
        clips: their B ids.
    """

    features: dict[str, Steps]
    labels: Tensor
    clips: tuple[str, ...]


class Dataset(data.Dataset[Example]):
    """Features and labels of clips, in memory, in the order of their ids.

    The clips are those of a manifest with a label and features; ``without`` names the others.
    Features of another file, or of another part of one, than the manifest names are refused.
    It pickles into workers that are spawned, which share its memory.

    Shapes (T steps of a clip, D numbers of a step):
        ``self[i]``: an ``Example``, whose features are (T, D) each, or (T, F, 3) of log-mel.

    Args:
        manifest: the table of clips; their files need not be there.
        cache: the folder that ``extract_features`` wrote.
        sets: ``video`` and ``audio``, or one of them, to a feature set, such as
            ``{"video": "resnet29", "audio": "logmel"}``; sets joined by ``+`` stand side by side.
        features: modality to what is read of its set, as in the settings of a run: the name of an
            array, ``mean_std``, ``norm_fft`` or ``statistics``; where it is left out, ``auto``.
        split: take only clips of this split.
        clips: take only clips with these ids.
        classes: names of the classes in order; None: the labels of the whole manifest, sorted.
        packs: folder for the packs, if the cache can't be written.

    Attributes:
        classes: names of the classes, in the order of ``Example.label``.
        clip_ids: ids of the clips.
        labels: (N,) int64 index of each clip's class.
        shapes: modality to the shape of one step.
        without: clip to why it is left out.

    Raises:
        ValueError: manifest, cache, sets or features can't be used as asked, features are stale,
            or no clip is left; says what and why.
        OSError: something can't be read, or a pack can't be written.

    Example:
        >>> dataset = trainer.Dataset("manifest.csv", cache="CACHE", sets={"video": "resnet29"},
        ...                           features={"video": "norm_fft"}, split="train")
        >>> loader = torch.utils.data.DataLoader(dataset, 2, collate_fn=trainer.collate)
        >>> for batch in loader:
        ...     features, mask = batch.features["video"]
    """

    def __init__(
        self,
        manifest: Manifest | str | Path,
        *,
        cache: str | Path,
        sets: Mapping[str, str],
        features: Mapping[str, str] | None = None,
        split: str | None = None,
        clips: Iterable[str] | None = None,
        classes: Sequence[str] | None = None,
        packs: str | Path | None = None,
    ) -> None:
        if not isinstance(manifest, Manifest):
            manifest = read_manifest(manifest, check_files=False)
        cache = Path(cache)
        check_cache(cache)
        chosen = None if clips is None else set(listed(clips))
        if unknown := sorted((chosen or set()) - manifest.by_id.keys()):
            raise CorpusError(f"no clip {unknown[0]!r} in {manifest.path}")
        rows = {
            clip.id: clip
            for clip in manifest.labelled
            if (split is None or clip.split == split) and (chosen is None or clip.id in chosen)
        }
        if not rows:
            raise CorpusError(
                f"{manifest.path} has no labelled clip"
                + ("" if split is None else f" of split {split!r}")
                + ("" if chosen is None else " among those asked for")
            )
        found = load_available(
            cache,
            {clip.id: clip.label or "" for clip in rows.values()},
            _settings(sets, features or {}),
            classes=tuple(classes or manifest.labels),
            clips=rows,
            packs=None if packs is None else Path(packs),
        )
        corpus = found.corpus
        kept = [i for i, clip in enumerate(corpus.clip_ids) if clip not in found.without]
        if not kept:
            why = next(iter(found.without.values()))
            raise CorpusError(f"none of the {len(rows)} clips has features: {why}")
        self.classes = corpus.classes
        self.clip_ids = tuple(corpus.clip_ids[i] for i in kept)
        self.labels = torch.from_numpy(corpus.labels[kept])
        self.shapes = corpus.shapes
        self.without = dict(found.without)
        # Tensors, because PyTorch hands them to workers without a copy.
        self._values = {name: torch.tensor(s.values) for name, s in corpus.sequences.items()}
        self._starts = {name: s.offsets[kept].tolist() for name, s in corpus.sequences.items()}
        self._lengths = {name: s.lengths[kept].tolist() for name, s in corpus.sequences.items()}

    def __repr__(self) -> str:
        sets = ", ".join(f"{name} {shape}" for name, shape in self.shapes.items())
        return f"Dataset({number_of(len(self), 'clip')}, {sets})"

    def __len__(self) -> int:
        return len(self.clip_ids)

    def __getitem__(self, index: int) -> Example:
        """Return one clip, its features a copy; a negative index counts from the end.

        Raises:
            IndexError: there are not so many.
        """
        clip = self.clip_ids[index]
        features = {
            name: values[self._starts[name][index] :][: self._lengths[name][index]].clone()
            for name, values in self._values.items()
        }
        return Example(features, int(self.labels[index]), clip)


def collate(examples: Sequence[Example]) -> Batch:
    """Pad clips to the longest of them, modality by modality.

    Shapes (B clips, T steps after padding):
        result: features (B, T, ...) float32, 0 where the mask (B, T) is False, and T at least 1;
        labels (B,) int64.

    Args:
        examples: at least one, of one dataset.

    Raises:
        ValueError: there is none.

    Example:
        >>> batch = trainer.collate([dataset[0], dataset[1]])
        >>> batch.features["video"].mask.sum(dim=1)
    """
    if not examples:
        raise ValueError("a batch needs at least one clip, got none")
    return Batch(
        {name: _pad([one.features[name] for one in examples]) for name in examples[0].features},
        torch.tensor([one.label for one in examples]),
        tuple(one.clip for one in examples),
    )


def _pad(clips: Sequence[Tensor]) -> Steps:
    lengths = torch.tensor([len(clip) for clip in clips])
    longest = max(1, int(lengths.max()))
    features = torch.zeros((len(clips), longest, *clips[0].shape[1:]))
    for row, clip in enumerate(clips):
        features[row, : len(clip)] = clip
    return Steps(features, torch.arange(longest) < lengths[:, None])


def _settings(sets: Mapping[str, str], features: Mapping[str, str]) -> HeadSettings:
    """Return the settings of a head that reads these sets."""
    for name in (*sets, *features):
        if name not in MODALITIES:
            raise CorpusError(f"no modality {name!r}; there are {' and '.join(MODALITIES)}")
    if lacking := sorted(features.keys() - sets.keys()):
        raise CorpusError(f"features are given for {lacking[0]}, and no set; name it in sets")
    if not sets:
        raise CorpusError("no set is named, such as sets={'video': 'resnet29'}")
    values: dict[str, dict[str, str]] = {
        name: {"set": chosen, "features": features.get(name, "auto")}
        for name, chosen in sets.items()
    }
    values.setdefault("audio", {})["encoder"] = "none"
    values["fusion"] = {"kind": "fbp" if len(sets) > 1 else next(iter(sets))}
    return settings_from(HeadSettings, values)
