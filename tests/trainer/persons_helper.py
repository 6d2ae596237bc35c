"""Tables of persons over entries that exist, without any face."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cache.entries.entry import read_identity
from cache.entries.source import Source
from cache.persons import ClipSpeaker, DoubtfulPair, Person, Persons, PersonTrack, write_persons
from cache.sets.feature_set import FeatureSet, SetSpec

SOURCE = Source(2, 3, "0" * 64)


def write_seen(
    cache: Path,
    seen: Mapping[str, Mapping[str, float]],
    *pairs: tuple[str, str],
) -> None:
    """Write a table of persons: clip to the share of its frames in which each person is seen."""
    made = FeatureSet(cache, SetSpec("identity", {}, 1)).create({})
    tracks: dict[str, list[PersonTrack]] = {}
    rows: dict[str, ClipSpeaker] = {}
    for clip, shares in seen.items():
        with made.writer(clip, source=SOURCE, provenance={}) as writer:
            writer.append(times=np.zeros(1))
            writer.finish()
        for number, (name, share) in enumerate(shares.items()):
            tracks.setdefault(name, []).append(PersonTrack(clip, number, share))
        speaker = max(shares, key=lambda name: shares[name], default=None)
        identity = read_identity(made.entry_path(clip))
        rows[clip] = ClipSpeaker(speaker, 0.5 if speaker else 0.0, identity)
    persons = tuple(Person(name, 1.0, tuple(own)) for name, own in tracks.items())
    doubtful = tuple(DoubtfulPair(one, other, 0.47) for one, other in pairs)
    write_persons(cache, Persons(made.folder.name, persons, rows, doubtful))
