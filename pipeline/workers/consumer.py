"""Consumer of the workers' crops: one network for all, full batches, embeddings back to each.

On a GPU every worker process with a network of its own would cost memory as often, and batches as
small as a clip. So the workers decode, find faces and crop, and send the crops to one consumer, a
thread of the parent process, which fills batches across clips. Each worker waits for its answer
with at most one piece of a clip (``chunk_bytes``) in flight: that bounds the queue.

What a crop yields depends on the crops beside it by rounding only, see ``FaceNetwork``. A
failure reaches only the clip it belongs to: a batch that can't be computed is tried again clip by
clip, and one that doesn't fit into the GPU's memory in halves. A fault of the GPU itself is told to
all, and ends the run.
"""

from __future__ import annotations

import contextlib
import functools
import os
import queue
import secrets
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, Self

import numpy as np
import torch

from extractors.running.begun import Begun
from extractors.running.face_network import FaceNetwork
from extractors.running.faults import describe_fault
from pipeline.workers.error import MachineError, kind_of_fault
from pipeline.workers.remote import Reply, Request, connect, receive, send
from pipeline.workers.stopwatch import Stopwatch

# Batches begun and not yet read back: a GPU computes one while the next is brought to it.
IN_FLIGHT = 2
BACKLOG = 1024  # workers that may knock at once


@dataclass(eq=False)  # one is itself alone: crops can't be compared
class _Order:
    """A worker's request, served in pieces.

    ``begun`` counts the crops that are in a batch already, ``parts`` holds what came back, and
    ``seconds`` what the device spent on its batches.
    """

    request: Request
    link: Connection
    begun: int = 0
    parts: list[dict[str, np.ndarray]] = field(default_factory=list)
    done: int = 0
    answered: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    arrived: float = field(default_factory=time.perf_counter)

    @property
    def left(self) -> int:
        return len(self.request.crops) - self.begun

    def seconds_by_step(self) -> dict[str, float]:
        """Return what was spent on it since it arrived: ``queue`` is the wait for the device."""
        waited = time.perf_counter() - self.arrived - sum(self.seconds.values())
        return {**self.seconds, "queue": max(0.0, waited)}


@dataclass(frozen=True)
class _Batch:
    """Crops of one network from one or several orders, and what is being computed of them."""

    network: FaceNetwork
    pieces: list[tuple[_Order, int]]  # and how many crops of it
    begun: Begun


class Consumer:
    """Server of a plan's networks to worker processes, for as long as the ``with`` lasts.

    Args:
        load: makes the network of a set's name; called in the consumer's thread when the first
            crops for it come, and its errors are answers to that request.
        threads: PyTorch threads of the consumer, which count on a CPU only.
        device: of the networks.

    Raises:
        MachineError: this process may open no socket.
    """

    def __init__(
        self, load: Callable[[str], FaceNetwork], *, threads: int, device: str = "cpu"
    ) -> None:
        self._load = functools.lru_cache(maxsize=None)(load)
        self._threads = threads
        self._device = device
        self._key = secrets.token_bytes(16)
        # A name that no file stands for: a kill leaves nothing behind. Only Linux has such.
        name = f"\0avfuse-{os.getpid()}-{secrets.token_hex(8)}" if sys.platform == "linux" else None
        try:
            self._listener = Listener(name, backlog=BACKLOG, authkey=self._key)
        except OSError as error:
            raise MachineError(f"no socket can be made for the workers: {error}") from error
        self._address = name or str(self._listener.address)
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._waiting: deque[_Order] = deque()
        self._ended = False
        self._started = time.perf_counter()
        self._num_crops = self._num_places = 0  # in the batches so far, and with room for more
        self.watch = Stopwatch()
        self.device_seconds: dict[str, float] = {}

    @property
    def setup(self) -> Callable[[], None]:
        """Call for a worker to make when it starts; pickles."""
        return functools.partial(connect, self._address, self._key)

    def seconds_by_step(self) -> dict[str, Any]:
        """Return ``watch`` and, under ``device``, ``device_seconds``, rounded for a report."""
        rounded = {step: round(spent, 3) for step, spent in self.watch.seconds.items()}
        device = {step: round(spent, 3) for step, spent in self.device_seconds.items()}
        return {**rounded, "device": device}

    def describe_load(self) -> dict[str, float]:
        """Return how full its batches are, and its share of time without work; nothing at first."""
        if not self._num_places:
            return {}
        idle = self.watch.seconds.get("idle", 0.0) / (time.perf_counter() - self._started)
        return {
            "consumer_fill": round(self._num_crops / self._num_places, 3),
            "consumer_wait": round(min(1.0, idle), 3),
        }

    def __enter__(self) -> Self:
        self._computer = threading.Thread(target=self._compute, daemon=True)
        self._computer.start()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended = True
        self._orders.put(None)
        # Wake the thread that accepts. It may have seen the end by itself: await no answer of it.
        with contextlib.suppress(OSError):
            Client(self._address).close()
        self._computer.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._ended:
            # A worker that dies while it knocks is no reason to stop.
            with contextlib.suppress(OSError, EOFError, AuthenticationError):
                link = self._listener.accept()
                threading.Thread(target=self._receive, args=(link,), daemon=True).start()

    def _receive(self, link: Connection) -> None:
        """Queue what one worker sends, which is one request at a time, until it is gone."""
        with link, contextlib.suppress(OSError, EOFError):
            while not self._ended:
                self._orders.put(_Order(receive(link), link))

    def _compute(self) -> None:
        torch.set_num_threads(self._threads)
        flying: deque[_Batch] = deque()
        while True:
            if not self._fetch(block=not flying and not self._waiting):
                return
            if self._waiting and (batch := self._begin()) is not None:
                flying.append(batch)
            if flying and (len(flying) >= IN_FLIGHT or not self._waiting):
                self._finish(flying.popleft())

    def _fetch(self, *, block: bool) -> bool:
        """Take every order that has come, waiting for one if asked to; False at the end."""
        with contextlib.suppress(queue.Empty), self.watch.step("idle"):
            while True:
                order = self._orders.get(block=block)
                if order is None:
                    return False
                self._waiting.append(order)
                block = False
        return True

    def _begin(self) -> _Batch | None:
        """Fill a batch from the orders that wait and begin it; None if there was none to begin."""
        name = self._waiting[0].request.network
        pieces: list[tuple[_Order, int]] = []
        network: FaceNetwork | None = None
        try:
            with self.watch.step("load"):
                network = self._load(name)
            room = network.batch_size
            for order in [item for item in self._waiting if item.request.network == name]:
                if room == 0:
                    break
                pieces.append((order, min(room, order.left)))
                room -= pieces[-1][1]
            crops = [o.request.crops[o.begun : o.begun + count] for o, count in pieces]
            with self.watch.step("gather"):
                images = network.gather(crops)
            with self.watch.step("launch"):
                network.measure_once(images)
                batch = _Batch(network, pieces, network.begin(images))
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to these orders
            if network is not None and network.make_room(error):
                return None  # nothing of these orders was begun
            self._retry([order for order, _ in pieces] or [self._waiting[0]], error)
            return None
        self._num_places += network.batch_size
        for order, count in pieces:
            self._num_crops += count
            order.begun += count
            if order.left == 0:
                self._waiting.remove(order)
        return batch

    def _finish(self, batch: _Batch) -> None:
        """Hand what a batch yields to its orders, and answer those that are complete."""
        try:
            with self.watch.step("wait"):
                arrays = batch.begun.wait()
            spent = batch.begun.seconds()
        except Exception as error:  # noqa: BLE001 - a GPU tells of errors late
            self._retry([order for order, _ in batch.pieces], error)
            return
        _add(self.device_seconds, spent)
        start = 0
        for order, count in batch.pieces:
            _add(order.seconds, spent)
            rows = slice(start, start + count)
            start += count
            order.parts.append({name: values[rows] for name, values in arrays.items()})
            order.done += count
            if order.done == len(order.request.crops) and order.left == 0 and not order.answered:
                with self.watch.step("answer"):
                    self._answer(order, batch.network)

    def _answer(self, order: _Order, network: FaceNetwork) -> None:
        names = order.parts[0]
        try:
            arrays = {name: np.concatenate([part[name] for part in order.parts]) for name in names}
            network.check(arrays)
        except Exception as error:  # noqa: BLE001 - who waits for it would wait for ever
            self._refuse(order, error)
            return
        _send(order, Reply(arrays, network.deviation, seconds=order.seconds_by_step()))

    def _retry(self, orders: list[_Order], error: Exception) -> None:
        """Serve orders one by one whose batch failed, so that only what is at fault fails."""
        for order in [order for order in orders if not order.answered]:
            if order in self._waiting:
                self._waiting.remove(order)
            if len(orders) == 1:
                self._refuse(order, error)
                continue
            try:
                network = self._load(order.request.network)
                _send(order, Reply(network.extract(order.request.crops), network.deviation))
            except Exception as own:  # noqa: BLE001 - it is this order's own
                self._refuse(order, own)

    def _refuse(self, order: _Order, error: Exception) -> None:
        """Answer an order that has failed alone, and say whose fault it is."""
        fault = (
            str(error) if isinstance(error, MachineError) else describe_fault(error, self._device)
        )
        kind = kind_of_fault(error)
        _send(order, Reply({}, error=fault or _text(error), of_machine=bool(fault), fault=kind))


def _send(order: _Order, reply: Reply) -> None:
    order.answered = True
    with contextlib.suppress(OSError):  # the worker died meanwhile; its clip is tried again
        send(order.link, reply)


def _add(seconds: dict[str, float], more: Mapping[str, float]) -> None:
    for name, spent in more.items():
        seconds[name] = seconds.get(name, 0.0) + spent


def _text(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
