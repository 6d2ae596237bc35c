"""Seconds of an epoch and peak memory of the papers' presets, whose heads train AlexNet.

    python -m benchmarks.stage_two.encoder

Each preset, corpus and number of threads has a process of its own. The corpora are made in memory:
50 clips of 1 to 5 s, 20 of 0.5 to 10 s, and 16 as long as real ones are, most of 1.5 to 5 s and one
of 13.5 s, which are one batch.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.stage_two.corpus import SPECTROGRAM, make_corpus
from pipeline.cli import prepare_process
from trainer.settings import load_settings
from trainer.training.train import train_head

PRESETS = ("icmi19", "deep-fusion")
REAL = (1.5, 1.6, 2.0, 2.0, 2.0, 2.0, 2.4, 3.0, 3.3, 3.8, 4.0, 4.5, 5.0, 5.9, 7.4, 13.5)
CORPORA = {
    "50 clips of 1 to 5 s": np.random.default_rng(0).uniform(1, 5, 50),
    "20 clips of 0.5 to 10 s": np.random.default_rng(0).uniform(0.5, 10, 20),
    "16 clips as long as real ones": np.array(REAL),
}
THREADS = (1, 2)
EPOCHS = 4


def measure_encoders() -> list[dict[str, Any]]:
    """Measure every preset, corpus and number of threads, each in a process of its own."""
    found = []
    for preset, corpus, threads in product(PRESETS, CORPORA, THREADS):
        command = [sys.executable, "-m", "benchmarks.stage_two.encoder"]
        command += [preset, corpus, str(threads)]
        ended = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(json.loads(ended.stdout))
    return found


def _measure(preset: str, name: str, threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    seconds = CORPORA[name]
    corpus = make_corpus(len(seconds), sound=SPECTROGRAM, seconds=seconds)
    settings = load_settings(preset, [f"optim.epochs={EPOCHS}"])
    before = _memory("VmRSS")
    laps = [(time.perf_counter(), time.process_time())]
    train_head(
        corpus,
        range(len(corpus)),
        settings,
        on_epoch=lambda _: laps.append((time.perf_counter(), time.process_time())),
    )
    # The first epoch also makes oneDNN's kernels.
    wall, processor = np.diff(np.array(laps), axis=0)[1:].min(axis=0)
    return {
        "preset": preset,
        "corpus": name,
        "threads": threads,
        "seconds": round(float(wall), 2),
        "processor_seconds": round(float(processor), 2),
        "peak_mib": _memory("VmHWM"),
        "before_training_mib": before,
    }


def _memory(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) // 1024


if __name__ == "__main__":
    if prepare_process():  # as the command line has it, but torch is loaded: begin again
        again = [sys.executable, "-m", "benchmarks.stage_two.encoder", *sys.argv[1:]]
        os.execve(sys.executable, again, os.environ)  # noqa: S606 - itself again
    if len(sys.argv) > 1:
        print(json.dumps(_measure(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
    else:
        print(json.dumps(measure_encoders(), indent=2))
