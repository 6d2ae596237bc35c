"""Stop a real avfuse process by real signals."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping


def stop_when(
    ready: Callable[[], bool],
    number: int,
    command: list[str],
    env: Mapping[str, str] | None = None,
    *,
    once: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Send the signal as soon as ``ready``, and on and on until the process has ended.

    No later one may cut off what is done and said at the end. With ``once`` there is none.
    """
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    ) as process:
        deadline = time.monotonic() + 120
        try:
            while not ready() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(number)
            while not once and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
                process.send_signal(number)
            output, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    return subprocess.CompletedProcess(command, process.returncode, output, errors)
