"""Time and memory that the set ``voice`` takes for a minute and for an hour of speech.

    python -m benchmarks.stage_one.voice MANIFEST [-o FILE]

Seconds are of the processor, so that what else runs on the machine matters little. The clips of the
manifest are read once and described over and over, as one sound.
"""

from __future__ import annotations

import resource
import time
from pathlib import Path

import click
import numpy as np

from benchmarks.machine import describe_machine, write_result
from cache.manifest.manifest import read_manifest
from extractors.sound.voice import VoiceStream
from pipeline.media.settings import DecodeSettings
from pipeline.media.sound import SAMPLE_RATE, WaveformReader

BLOCK = 1 << 14
MINUTES = (1, 10, 60)


def describe(sound: np.ndarray, seconds: float) -> dict[str, float]:
    """Describe so many seconds of a sound that begins again; memory is the process's peak."""
    stream, done, started = VoiceStream(SAMPLE_RATE), 0, time.process_time()
    while done < seconds * SAMPLE_RATE:
        at = done % (len(sound) - BLOCK)
        stream.push(sound[at : at + BLOCK])
        done += BLOCK
    stream.finish()
    stream.functionals()
    spent = time.process_time() - started
    return {
        "sound_seconds": round(done / SAMPLE_RATE, 1),
        "processor_seconds_per_second": round(spent * SAMPLE_RATE / done, 5),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


@click.command()
@click.argument("manifest", type=click.Path(exists=True, path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON file for the result.")
def main(manifest: Path, out: Path | None) -> None:
    """Measure the description of the voices of MANIFEST."""
    machine = describe_machine()
    clips = read_manifest(manifest).clips[::40]
    readers = [WaveformReader(clip.path, DecodeSettings(), clip.span) for clip in clips]
    sound = np.concatenate([block for reader in readers for block in reader])
    rows = [describe(sound, 60 * minutes) for minutes in MINUTES]
    for row in rows:
        click.echo("  ".join(f"{key} {value}" for key, value in row.items()))
    if out:
        write_result(out, {"machine": machine, "rows": rows})


if __name__ == "__main__":
    main()
