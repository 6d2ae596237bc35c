"""Network that another process runs: a worker sends crops to it and gets embeddings back.

The other end is ``pipeline.workers.consumer``, in the process that started the worker.
"""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Client, Connection
from typing import Any, Protocol

import numpy as np

from pipeline.workers.error import MachineError


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
    """The consumer could not embed the crops; the message is its own.

    Attributes:
        fault: kind of the error, see ``kind_of_fault``.
    """

    def __init__(self, message: str, fault: str) -> None:
        super().__init__(message)
        self.fault = fault


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
        of_machine: whether the error is a ``MachineError``.
        fault: kind of another error.
        seconds: in the consumer's hands, by step: ``queue``, ``transfer`` and ``network``.
    """

    arrays: dict[str, np.ndarray]
    deviation: dict[str, float] | None = None
    error: str = ""
    of_machine: bool = False
    fault: str = ""
    seconds: Mapping[str, float] = field(default_factory=dict)


def send(link: Connection, message: Request | Reply) -> None:
    """Send a message, its arrays as they lie in memory: a copy holds up the receiver's threads.

    Raises:
        OSError: the other end is gone.
    """
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    link.send((body, [len(view) for view in views]))
    for view in views:
        while view:
            view = view[os.write(link.fileno(), view) :]


def receive(link: Connection) -> Any:
    """Receive what ``send`` sent, from an end that has the key.

    Raises:
        EOFError: the other end is gone.
        OSError: the same.
    """
    body, sizes = link.recv()
    arrays = [np.empty(size, np.uint8) for size in sizes]
    for array in arrays:
        view = array.data
        while view:
            count = os.readv(link.fileno(), [view])
            if count == 0:
                raise EOFError
            view = view[count:]
    return pickle.loads(body, buffers=arrays)  # noqa: S301 - of our own process


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
            MachineError: the same, for a reason that is not of the crops.
        """
        return self.ask(crops)().arrays

    def ask(self, crops: np.ndarray) -> Callable[[], Answer]:
        """Send crops for embedding, without waiting; the result waits, see ``extract``."""
        question = _asking_thread().submit(_ask, Request(self.name, crops))

        def answer() -> Answer:
            reply, shares = question.result()
            if reply.error and reply.of_machine:
                raise MachineError(reply.error)
            if reply.error:
                raise RemoteNetworkError(reply.error, reply.fault)
            self.deviation = reply.deviation
            return Answer(reply.arrays, shares)

        return answer


@dataclass(frozen=True)
class Answer:
    """Embeddings of some crops.

    Args:
        arrays: see ``FaceNetwork.extract``.
        shares: of the time that they took, for other steps than the network itself; ``queue`` and
            ``transfer`` where a consumer embeds them.
    """

    arrays: dict[str, np.ndarray]
    shares: Mapping[str, float] = field(default_factory=dict)


def ask(network: Network, crops: np.ndarray) -> Callable[[], Answer]:
    """Let a network begin to embed crops: here at once, elsewhere while this process goes on."""
    if isinstance(network, RemoteNetwork):
        return network.ask(crops)
    answer = Answer(network.extract(crops))
    return lambda: answer


def _ask(request: Request) -> tuple[Reply, dict[str, float]]:
    """Ask the consumer; returns its reply, and what else than the network took the time."""
    started = time.perf_counter()
    try:
        send(_link[0], request)
        reply: Reply = receive(_link[0])
    except (EOFError, OSError):
        # The parent is gone. To go on would record a failure of a clip that has none.
        os.kill(os.getpid(), signal.SIGKILL)
        raise
    took = max(time.perf_counter() - started, sum(reply.seconds.values()), 1e-9)
    queue, network = (reply.seconds.get(name, 0.0) / took for name in ("queue", "network"))
    return reply, {"queue": queue, "transfer": 1.0 - queue - network}


@cache
def _asking_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="ask")
