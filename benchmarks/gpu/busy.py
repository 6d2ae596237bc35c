"""Meter of how busy a GPU is, by one ``nvidia-smi`` that tells it several times a second."""

from __future__ import annotations

import shutil
import subprocess
import threading
from typing import Self

import numpy as np

EVERY_MS = 200
QUERY = "utilization.gpu,power.draw,memory.used"


class BusyMeter:
    """Samples of the GPU's use while the ``with`` lasts; none where there is no ``nvidia-smi``.

    Args:
        device: ``cuda``, ``cuda:N``, or ``cpu``, of which nothing is sampled.

    Attributes:
        samples: percent of the time in which a kernel ran, watts, MiB of memory.
    """

    def __init__(self, device: str) -> None:
        self.device = device
        self.samples: list[list[float]] = []
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        if self.device != "cpu" and shutil.which("nvidia-smi"):
            number = self.device.partition(":")[2] or "0"
            command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
            self._process = subprocess.Popen(
                [*command, "-i", number, "-lms", str(EVERY_MS)], stdout=subprocess.PIPE, text=True
            )
            self._thread = threading.Thread(target=self._read, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._thread.join()

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                self.samples.append([float(value) for value in line.split(",")])
            except ValueError:  # a line cut short, or "[N/A]"
                continue

    def to_json(self) -> dict[str, float] | None:
        """Return the means between the first busy sample and the last; None if never busy."""
        samples = np.array(self.samples).reshape(-1, 3)
        busy = np.flatnonzero(samples[:, 0] > 0)
        if not len(busy):
            return None
        percent, watts, _ = samples[busy[0] : busy[-1] + 1].mean(axis=0)
        return {
            "gpu_busy_percent": round(float(percent), 1),
            "watts": round(float(watts), 1),
            "memory_mib": float(samples[:, 2].max()),
        }
