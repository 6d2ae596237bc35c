"""Commands that SIGINT or SIGTERM ends: what is done stays, and a line says how to go on.

For work that may be cut off anywhere, because it is written whole or not at all. ``extract`` and
``finetune`` bring what they are at to an end first.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

_ASKING = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def ends_by_signal(how_to_go_on: str) -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` at a signal, clean up, print a line and exit.

    The process is about to end then, so later signals are ignored: clean-up is not cut off.

    Args:
        how_to_go_on: printed to stderr after the signal's name.

    Raises:
        SystemExit: a signal came; 130 after SIGINT, 143 after SIGTERM, as shells count.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        del frame
        came.append(number)
        for each in _ASKING:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt(f"stopped by {signal.Signals(number).name}")

    before = {number: signal.signal(number, end) for number in _ASKING}
    try:
        yield
    except BaseException:
        # Libraries end in other errors too when a signal reaches their own processes.
        if not came:
            raise
    finally:
        if not came:
            for number, handler in before.items():
                signal.signal(number, handler)
    if came:
        name = signal.Signals(came[0]).name
        print(f"\nstopped by {name}: {how_to_go_on}", file=sys.stderr, flush=True)
        sys.exit(128 + came[0])
