"""The sightings of one track, held as numbers: an hour of one face is 10 MB and not 70."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping, Sequence

import numpy as np

from pipeline.faces.rungs import Rung
from pipeline.faces.tracks import Sighting, TrackArrays

BLOCK_FRAMES = 32  # most of what may be a face is gone after a few
_ROW = np.dtype(
    [
        ("there", np.bool_),
        ("box", np.float64, 4),
        ("landmarks", np.float32, (5, 2)),
        ("score", np.float64),
        ("rung", np.uint8),
    ]
)


class TrackRows(MutableMapping[int, Sighting]):
    """Number of the frame to sighting, sorted by frame; what is read equals what was written.

    The sightings that are read have the number 0: a track has its number in the end.
    """

    def __init__(self) -> None:
        self._blocks: dict[int, np.ndarray] = {}
        self._count = 0

    def __setitem__(self, frame: int, row: Sighting) -> None:
        at, place = divmod(frame, BLOCK_FRAMES)
        block = self._blocks.get(at)
        if block is None:
            block = self._blocks[at] = np.zeros(BLOCK_FRAMES, _ROW)
        self._count += not block["there"][place]
        block[place] = (True, row.box, row.landmarks, row.score, row.rung)

    def __getitem__(self, frame: int) -> Sighting:
        if frame not in self:
            raise KeyError(frame)
        row = self._blocks[frame // BLOCK_FRAMES][frame % BLOCK_FRAMES]
        left, top, right, bottom = row["box"].tolist()
        return Sighting(
            frame,
            0,
            (left, top, right, bottom),
            row["landmarks"].copy(),
            float(row["score"]),
            Rung(int(row["rung"])),
        )

    def __delitem__(self, frame: int) -> None:
        if frame not in self:
            raise KeyError(frame)
        self._blocks[frame // BLOCK_FRAMES]["there"][frame % BLOCK_FRAMES] = False
        self._count -= 1

    def __contains__(self, frame: object) -> bool:
        if not isinstance(frame, int):
            return False
        block = self._blocks.get(frame // BLOCK_FRAMES)
        return block is not None and bool(block["there"][frame % BLOCK_FRAMES])

    def __iter__(self) -> Iterator[int]:
        for at in sorted(self._blocks):
            places = np.flatnonzero(self._blocks[at]["there"])
            yield from (at * BLOCK_FRAMES + place for place in places.tolist())

    def __len__(self) -> int:
        return self._count

    # Tracks are told apart by being another, not by what they hold.
    __eq__ = object.__eq__
    __hash__ = object.__hash__


def gather_tracks(tracks: Sequence[TrackRows]) -> TrackArrays:
    """Put whole tracks into arrays, numbered as they come; sorted by frame and track."""
    numbers: list[np.ndarray] = [np.zeros(0, np.int32)]
    frames: list[np.ndarray] = [np.zeros(0, np.int32)]
    rows: list[np.ndarray] = [np.zeros(0, _ROW)]
    for number, track in enumerate(tracks):
        for at, block in track._blocks.items():
            places = np.flatnonzero(block["there"]).astype(np.int32)
            frames.append(places + np.int32(at * BLOCK_FRAMES))
            numbers.append(np.full(len(places), number, np.int32))
            rows.append(block[places])
    frame, number_of, row = (np.concatenate(parts) for parts in (frames, numbers, rows))
    order = np.lexsort((number_of, frame))
    row = row[order]
    return TrackArrays(
        frame=frame[order],
        number=number_of[order],
        box=row["box"].astype(np.float32),
        landmarks=np.ascontiguousarray(row["landmarks"]),
        score=row["score"].astype(np.float32),
        rung=np.ascontiguousarray(row["rung"]),
    )
