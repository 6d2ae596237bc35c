"""RAVDESS speech as a manifest and feature sets: log-mel, action units, functionals, windows."""

from __future__ import annotations

import csv
import itertools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.science.alignment import contour, steps_to_align
from benchmarks.science.functionals import functionals, modulation
from benchmarks.science.pitch import HOP, SAMPLE_RATE, read_waveform
from benchmarks.science.ravdess_aligned import Takes
from benchmarks.science.tables import import_set
from benchmarks.science.voice import voice_functionals
from cache.manifest.manifest import read_manifest
from cache.packs.pack import open_pack
from cache.sets.feature_set import find_set

CODES = ("neutral", "calm", "happy", "sad", "angry", "fear", "disgust", "surprise")
QUIET = 30.0  # dB below the loud steps: silence before and after the words
MARGIN = 10  # steps of 10 ms that are kept around them
WINDOW = 25  # steps of 10 ms
SPEAKERS_IN_FOLD = 4


def write_manifest(data: Path, work: Path) -> Path:
    """Write the manifest of the takes that have sound, each from its first word to its last."""
    work.mkdir(parents=True, exist_ok=True)
    path = work / "manifest.csv"
    if path.exists():
        return path
    rows = []
    for take in sorted((data / "ravdess" / "speech").resolve().glob("*.flac")):
        fields = take.stem.split("-")
        start, end = spoken(read_waveform(take))
        label, actor = CODES[int(fields[2]) - 1], f"actor-{fields[6]}"
        rows.append([take.stem, take, label, actor, f"{start:.2f}", f"{end:.2f}"])
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["clip", "path", "label", "speaker", "start_seconds", "end_seconds"])
        writer.writerows(rows)
    return path


def spoken(waveform: np.ndarray) -> tuple[float, float]:
    """Say from when to when somebody speaks, in seconds: RAVDESS has 0.9 s of silence before."""
    count = len(waveform) // HOP
    power = np.square(waveform[: count * HOP].reshape(count, HOP)).mean(axis=1)
    level = 10 * np.log10(np.convolve(power + 2e-10, np.ones(5) / 5, "same"))
    loud = np.flatnonzero(level > np.percentile(level, 97) - QUIET)
    first, last = max(0, loud[0] - MARGIN), loud[-1] + 1 + MARGIN
    return first * HOP / SAMPLE_RATE, min(last * HOP, len(waveform)) / SAMPLE_RATE


def prepare(data: Path, work: Path) -> Path:
    """Make what all systems need: the manifest, log-mel, action units, functionals, contours."""
    manifest = prepare_sets(data, work)
    if not (work / "contours.npz").exists():
        write_functionals(manifest, work)
    return manifest


def prepare_sets(data: Path, work: Path) -> Path:
    """Make the manifest, the log-mel by stage one, and the action units."""
    manifest = write_manifest(data, work)
    cache = work / "cache"
    command = [sys.executable, "-m", "pipeline", "extract", str(manifest)]
    subprocess.run([*command, "--cache", str(cache), "--sets", "logmel", "--jobs", "1"], check=True)
    with np.load(data / "ravdess" / "openface_au.npz") as file:
        # Intensities lie in 0..5 and crowd at 0; shares of frames in 0..1.
        np.savez(work / "au.npz", clip=file["clip"], au=np.sqrt(np.maximum(file["au"], 0.0)))
    return manifest


def import_sets(manifest: Path, work: Path) -> None:
    """Import action units, functionals and windows into the cache."""
    import_set(work, manifest, "au", work / "au.npz", "--id-pattern", r"^\d\d-(.*)$")
    import_set(work, manifest, "functionals", work / "functionals.npz")
    import_set(work, manifest, "windows", work / "windows.npz", "--rate", "4")


def write_functionals(manifest: Path, work: Path) -> None:
    """Write vectors, windows and contours of every clip beside the cache."""
    clips = read_manifest(manifest).clips
    ids = [clip.id for clip in clips]
    spectrograms = read_logmel(work, ids)
    voices, contours, table = [], [], []
    for clip, spectrogram in zip(clips, spectrograms, strict=True):
        times = clip.start_seconds or 0.0, clip.end_seconds or np.inf
        waveform = read_waveform(clip.path)
        start, end = (round(min(t * SAMPLE_RATE, len(waveform))) for t in times)
        voices.append(voice_functionals(waveform[start:end]))
        contours.append(contour(waveform[start:end], spectrogram))
        table.append(
            np.concatenate([functionals(spectrogram), voices[-1], modulation(spectrogram)])
        )
    np.savez(work / "functionals.npz", clip=np.array(ids), values=np.stack(table))
    lengths = np.cumsum([0, *map(len, contours)])
    np.savez(
        work / "contours.npz",
        clip=np.array(ids),
        voice=np.stack(voices),
        values=np.concatenate(contours),
        offsets=lengths,
    )
    windows = {c: make_windows(part) for c, part in zip(ids, spectrograms, strict=True)}
    np.savez(work / "windows.npz", **windows)


def read_logmel(work: Path, clips: Sequence[str]) -> list[np.ndarray]:
    """Log energies of 40 bands of every clip, (T, 40), without deltas."""
    pack = open_pack(find_set(work / "cache", "logmel"), list(clips), "logmel")
    offsets = np.asarray(pack.offsets)
    return [np.array(pack.values[a:b, :, 0]) for a, b in itertools.pairwise(offsets)]


def read_takes(manifest: Path, work: Path, classes: Sequence[str]) -> Takes:
    """Read what the systems on aligned sound see of every clip."""
    clips = read_manifest(manifest, check_files=False).clips
    ids = [clip.id for clip in clips]
    with np.load(work / "contours.npz") as file:
        part = {name: file[name] for name in file.files}
    with np.load(work / "au.npz") as file:
        faces = {
            clip.partition("-")[2]: row for clip, row in zip(file["clip"], file["au"], strict=True)
        }
    fields = np.array([clip.split("-") for clip in ids]).astype(int)
    return Takes(
        clips=tuple(ids),
        labels=np.array([classes.index(clip.label or "") for clip in clips]),
        speakers=fields[:, 6],
        folds=(fields[:, 6] - 1) // SPEAKERS_IN_FOLD,
        sentences=fields[:, 4] - 1,
        voice=part["voice"].astype(np.float64),
        face=np.array([faces[clip.partition("-")[2]] for clip in ids], np.float64),
        contours=[part["values"][a:b] for a, b in itertools.pairwise(part["offsets"])],
        steps=[steps_to_align(spectrogram) for spectrogram in read_logmel(work, ids)],
    )


def make_windows(logmel: np.ndarray) -> np.ndarray:
    """Mean and deviation of each band over stretches of 0.25 s: steps for attention to pool."""
    count = max(1, round(len(logmel) / WINDOW))
    parts = np.array_split(logmel, count)
    return np.array([np.concatenate([p.mean(axis=0), p.std(axis=0)]) for p in parts], np.float32)
