"""Network that another process runs: a worker sends crops to it and gets embeddings back.

The other end is ``pipeline.workers.consumer``, in the process that started the worker.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from multiprocessing.connection import Client, Connection
from typing import Protocol

import numpy as np


class Network(Protocol):
    """Network as a stage uses it, wherever it runs."""

    @property
    def deviation(self) -> dict[str, float] | None:
        """See ``FaceNetwork``."""
        ...

    def extract(self, crops: np.ndarray) -> dict[str, np.ndarray]:
        """See ``FaceNetwork``."""
        ...


class RemoteNetworkError(ValueError):
    """The consumer could not embed the crops; the message is its own."""


@dataclass(frozen=True)
class Request:
    """Crops of one clip for one network.

    Args:
        network: the name of its set.
        crops: (N, S, S, 3), uint8.
    """

    network: str
    crops: np.ndarray


@dataclass(frozen=True)
class Reply:
    """Answer to a request.

    Args:
        arrays: as ``FaceNetwork.extract`` yields them; empty where it failed.
        deviation: as ``FaceNetwork.deviation``.
        error: why there are no arrays; empty if there are.
    """

    arrays: dict[str, np.ndarray]
    deviation: dict[str, float] | None = None
    error: str = ""


_link: list[Connection] = []  # at most one in a process: a worker has one parent


def connect(address: str, key: bytes) -> None:
    """Let this process's networks be those of the consumer at an address."""
    _link[:] = [Client(address, authkey=key)]


def is_connected() -> bool:
    """Whether this process sends its crops to a consumer."""
    return bool(_link)


class RemoteNetwork:
    """A network that the consumer runs, which holds one for all workers.

    Args:
        name: the name of its set.

    Attributes:
        deviation: see ``FaceNetwork``; known after the first crops.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.deviation: dict[str, float] | None = None

    def extract(self, crops: np.ndarray) -> dict[str, np.ndarray]:
        """Embed crops; shapes are those of ``FaceNetwork.extract``.

        Raises:
            RemoteNetworkError: the consumer could not embed these crops, and says why.
        """
        try:
            _link[0].send(Request(self.name, crops))
            reply: Reply = _link[0].recv()
        except (EOFError, OSError):
            # The parent is gone. To go on would record a failure of a clip that has none.
            os.kill(os.getpid(), signal.SIGKILL)
            raise
        if reply.error:
            raise RemoteNetworkError(reply.error)
        self.deviation = reply.deviation
        return reply.arrays
