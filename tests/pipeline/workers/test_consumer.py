"""One network for all workers: each gets its own embeddings, whatever came in the same batch."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cache.manifest.manifest import read_manifest
from cache.sets.feature_set import find_set
from extractors.running import faults
from extractors.running.begun import Begun
from extractors.running.face_network import FaceNetwork, load_face_network
from extractors.running.settings import NetworkSettings
from extractors.views import VIEW_SETS, ViewSettings
from extractors.weights.random import initialise
from pipeline.cli import main
from pipeline.workers import remote
from pipeline.workers.consumer import Consumer
from pipeline.workers.error import MachineError
from pipeline.workers.pool import WorkerDied, map_clips
from pipeline.workers.remote import RemoteNetwork, Reply, Request, connect, receive, send
from tests.conftest import SMALL
from tests.extractors.small import ROUNDING, needs_bfloat16, small_specs

FEW = ViewSettings(rotations=(0.0, 5.0), scales=(1.0,))
BATCH = 5


def make_network(
    name: str = "resnet18", *, ordered: bool = True, device: str = "cpu", **settings: Any
) -> FaceNetwork:
    # Pixels as they are, so that a black crop is 0 whatever the weights.
    spec = replace(small_specs()[name], mean=(0.0,) * 3, deviation=(1.0,) * 3)
    module = spec.build()
    initialise(module, 3)
    own = NetworkSettings(views=FEW, **settings)
    return FaceNetwork(spec, module, own, device=device, batch_size=BATCH, order_weights=ordered)


def make_crops(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    with Consumer(lambda name: make_network(name), threads=1) as result:
        yield result


def link(consumer: Consumer) -> Connection:
    address, key = consumer.setup.args  # type: ignore[attr-defined]  # a partial, here
    return Client(address, authkey=key)


def ask(consumer: Consumer, *crops: np.ndarray) -> list[Reply]:
    """Send each array as a worker of its own, all before the first answer is awaited."""
    links = [link(consumer) for _ in crops]
    for one, images in zip(links, crops, strict=True):
        send(one, Request("resnet18", images))
    replies = [receive(one) for one in links]
    for one in links:
        one.close()
    return replies


def test_crops_of_many_clips_in_common_batches_yield_each_its_own_embeddings(
    consumer: Consumer,
) -> None:
    network = make_network()
    crops = [make_crops(count, seed) for seed, count in enumerate((7, 2, 0, 11, 1, 3))]
    for reply, images in zip(ask(consumer, *crops), crops, strict=True):
        expected = network.extract(images)
        assert reply.error == ""
        assert set(reply.arrays) == {"basic", "mean", "std"}
        for name, values in expected.items():
            assert reply.arrays[name].shape == values.shape
            scale = np.abs(values).max(initial=0.0)
            np.testing.assert_allclose(reply.arrays[name], values, rtol=0, atol=ROUNDING * scale)


def test_batches_are_filled_across_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    network, sizes, gate = make_network(), [], threading.Event()

    def begin(images: torch.Tensor) -> Begun:
        gate.wait(10)
        sizes.append(len(images))
        return FaceNetwork.begin(network, images)

    monkeypatch.setattr(network, "begin", begin)
    with Consumer(lambda _: network, threads=1) as consumer:
        links = [link(consumer) for _ in range(4)]
        for seed, one in enumerate(links):
            send(one, Request("resnet18", make_crops(3, seed)))
        threading.Timer(0.5, gate.set).start()  # by then all four have arrived
        assert all(receive(one).error == "" for one in links)
    # The first to arrive may begin alone; the others wait together.
    assert sum(sizes) == 12
    assert max(sizes) == BATCH


def test_what_fails_is_told_to_the_clip_that_it_is_of_and_to_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = make_network(ordered=False)
    with torch.no_grad():
        network.module.conv1.weight.mul_(1e38)
    black = np.zeros((2, 32, 32, 3), np.uint8)
    crooked = np.zeros((1, 32, 31, 3), np.uint8)
    with Consumer(lambda _: network, threads=1) as consumer:
        replies = ask(consumer, black, make_crops(3, 1), crooked, black, black)
    assert [bool(reply.error) for reply in replies] == [False, True, True, False, False]
    assert "nan or inf" in replies[1].error
    assert "square RGB images" in replies[2].error
    assert all(np.isfinite(replies[i].arrays["basic"]).all() for i in (0, 3, 4))


def test_want_of_memory_for_an_answer_is_told_to_who_waits_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The consumer's thread ended, and every worker waited for ever."""
    network = make_network()
    with Consumer(lambda _: network, threads=1) as consumer, monkeypatch.context() as short:
        short.setattr(network, "check", Mock(side_effect=[MemoryError(), None]))
        (reply,) = ask(consumer, make_crops(3, 0))
        assert (reply.fault, reply.of_machine) == ("memory", False)
        (reply,) = ask(consumer, make_crops(3, 0))
        assert reply.error == ""


def test_a_network_that_cannot_be_loaded_fails_what_asks_for_it_only() -> None:
    def load(name: str) -> FaceNetwork:
        if name == "broken":
            raise RuntimeError("no such weights")
        return make_network(name)

    with Consumer(load, threads=1) as consumer, link(consumer) as one:
        send(one, Request("broken", make_crops(3, 0)))
        assert receive(one).error == "RuntimeError: no such weights"
        assert ask(consumer, make_crops(3, 0))[0].error == ""


def test_batches_too_large_for_the_gpu_are_halved_until_they_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, most = make_network(), 2

    def begin(images: torch.Tensor) -> Begun:
        if len(images) > most:
            raise torch.OutOfMemoryError(f"no room for {len(images)}")
        return FaceNetwork.begin(network, images)

    monkeypatch.setattr(network, "begin", begin)
    with Consumer(lambda _: network, threads=1) as consumer:
        (reply,) = ask(consumer, make_crops(7, 0))
        assert reply.error == ""
        assert reply.arrays["basic"].shape == (7, 32)
        assert network.batch_size == 2
        most = 0
        (reply,) = ask(consumer, make_crops(7, 0))
        assert reply.of_machine
        assert "too little free memory: OutOfMemoryError: no room for 1\n" in reply.error


def test_a_device_that_fails_is_blamed_before_every_clip_and_one_that_works_before_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = make_network()

    def begin(_: torch.Tensor) -> Begun:  # in place of a GPU, which can't be broken here
        raise torch.AcceleratorError("CUDA error: an illegal memory access")

    monkeypatch.setattr(network, "begin", begin)
    crops = [make_crops(2, seed) for seed in range(3)]
    with Consumer(lambda _: network, threads=1) as consumer:
        replies = ask(consumer, *crops)
        assert [reply.of_machine for reply in replies] == [False] * 3
        assert {reply.error for reply in replies} == {
            "AcceleratorError: CUDA error: an illegal memory access"
        }
        monkeypatch.setattr(faults, "try_device", begin)
        replies = ask(consumer, *crops)
    assert [reply.of_machine for reply in replies] == [True] * 3
    assert all(reply.error.startswith("cpu computes no more: Accel") for reply in replies)


def test_a_network_that_finds_no_memory_when_it_is_loaded_is_the_devices_fault() -> None:
    def load(_: str) -> FaceNetwork:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with Consumer(load, threads=1) as consumer:
        assert ask(consumer, make_crops(3, 0))[0].of_machine


def test_a_worker_that_dies_with_its_crops_in_a_batch_disturbs_no_other(
    consumer: Consumer,
) -> None:
    for _ in range(3):
        with link(consumer) as gone:
            send(gone, Request("resnet18", make_crops(3, 0)))
    assert ask(consumer, make_crops(2, 1))[0].arrays["basic"].shape == (2, 32)


def test_a_stranger_without_the_key_is_turned_away(consumer: Consumer) -> None:
    address, _ = consumer.setup.args  # type: ignore[attr-defined]  # a partial, here
    with pytest.raises(Exception, match="digest"):
        Client(address, authkey=b"guess")
    assert ask(consumer, make_crops(2, 1))[0].error == ""


@needs_bfloat16
def test_the_deviation_of_the_first_batch_comes_with_the_answer() -> None:
    with Consumer(lambda _: make_network(precision="bfloat16"), threads=1) as consumer:
        first, second = (ask(consumer, make_crops(2, seed))[0] for seed in (0, 1))
    assert first.deviation is not None
    assert 0 < first.deviation["max_relative"] < 0.05
    assert second.deviation == first.deviation


@pytest.mark.parametrize("count", [0, 1, 300])  # 300 crops are more than a socket holds
def test_arrays_arrive_as_they_were_sent_and_can_be_written_to(count: int) -> None:
    crops = make_crops(count, 0)
    one, other = Pipe()
    with one, other:
        for sent in (crops, crops[:, ::2], crops.transpose(0, 2, 1, 3)):
            threading.Thread(target=send, args=(one, Request("resnet18", sent))).start()
            found = receive(other).crops
            np.testing.assert_array_equal(found, sent)
            assert found.flags.writeable
        other.send((b"", [3]))  # and dies before the three bytes
        other.close()
        with pytest.raises(EOFError):
            receive(one)


def test_crops_are_asked_for_without_waiting_and_the_wait_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, gate = make_network(), threading.Event()
    load_seconds = 0.3

    def load(_: str) -> FaceNetwork:
        gate.wait(10)
        time.sleep(load_seconds)
        return network

    with Consumer(load, threads=1) as consumer:
        connect(*consumer.setup.args)  # type: ignore[attr-defined]  # a partial, here
        try:
            answer = RemoteNetwork("resnet18").ask(make_crops(3, 0))
            started = time.perf_counter()
            gate.set()  # had it waited, nobody would have opened it
            found = answer()
            took = time.perf_counter() - started
        finally:
            remote._link.clear()
    assert found.arrays["basic"].shape == (3, 32)
    assert load_seconds / took * 0.9 < found.shares["queue"] < 1
    assert 0 <= found.shares["transfer"] < 1 - found.shares["queue"]
    seconds = consumer.seconds_by_step()
    assert seconds["load"] >= load_seconds
    assert 0 < seconds["device"]["network"] < took


@pytest.mark.timeout(60)
def test_a_consumer_that_accepts_no_more_still_ends() -> None:
    with Consumer(lambda _: make_network(), threads=1) as consumer:
        # The end, seen by the thread that accepts before it is woken: it once hung here.
        consumer._ended = True
        link(consumer).close()
        deadline = time.monotonic() + 30
        while any(thread.name.endswith("(_accept)") for thread in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.01)


@dataclass(frozen=True)
class Clip:
    id: str


def embed(clip: Clip) -> str:
    """Embed two crops in a worker, which for "kill" dies while they are computed."""
    if clip.id == "kill":
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGKILL)).start()
        while True:
            RemoteNetwork("resnet18").extract(make_crops(11, 5))
    if clip.id == "crooked":
        try:
            RemoteNetwork("resnet18").extract(np.zeros((2, 32, 31, 3), np.uint8))
        except ValueError as error:
            return f"crooked: {str(error)[:30]}"
    arrays = RemoteNetwork("resnet18").extract(make_crops(2, int(clip.id)))
    return f"{clip.id}: {arrays['basic'].sum():.3f}"


def test_a_process_that_may_open_no_socket_is_told_of_and_not_a_cache() -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(MachineError, match=r"no socket can be made .*Too many open files"):
            Consumer(lambda name: make_network(name), threads=1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def failed(clip: Clip, died: WorkerDied) -> str:
    return f"{clip.id} died: {died}"


@pytest.mark.slow
def test_workers_that_are_killed_or_send_nonsense_cost_their_own_clip_only(
    consumer: Consumer,
) -> None:
    clips = [Clip("1"), Clip("kill"), Clip("2"), Clip("crooked"), Clip("3")]
    results = sorted(map_clips(embed, clips, jobs=2, failed=failed, setup=consumer.setup))
    network = make_network()
    expected = [network.extract(make_crops(2, i))["basic"].sum() for i in (1, 2, 3)]
    for line, value in zip(results[:3], expected, strict=True):
        assert float(line.split()[1]) == pytest.approx(value, rel=1e-4)
    assert results[3] == "crooked: crops must be square RGB image"
    assert results[4].startswith("kill died: the worker process was killed twice")


def test_a_worker_whose_parent_is_gone_ends_instead_of_failing_its_clip() -> None:
    with Listener(authkey=b"k") as listener:
        thread = threading.Thread(target=lambda: listener.accept().close())
        thread.start()
        code = (
            "import numpy as np\n"
            "from pipeline.workers.remote import RemoteNetwork, connect\n"
            f"connect({str(listener.address)!r}, b'k')\n"
            "RemoteNetwork('a').extract(np.zeros((1, 5, 5, 3), np.uint8))\n"
        )
        done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
        thread.join()
    assert done.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_a_shared_network_yields_the_entries_of_workers_with_their_own(
    corpus: Path, tmp_path: Path
) -> None:
    clips = read_manifest(corpus).clips[:3]
    text = corpus.read_text().splitlines()
    manifest = corpus.parent / f"{tmp_path.name}.csv"
    (corpus.parent / "broken.mp4").write_bytes(b"\0" * 5_000)
    columns = len(text[0].split(","))
    manifest.write_text("\n".join([*text[:4], "broken,broken.mp4,a" + "," * (columns - 3)]) + "\n")
    for how in ("own", "shared"):
        command = ["extract", str(manifest), "--cache", str(tmp_path / how), "--jobs", "2"]
        command += ["--sets", "resnet18", *SMALL, "--consumer", how]
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 1, result.output
        assert "1 failed" in result.output
    for clip in clips:
        own, shared = (
            find_set(tmp_path / how, "resnet18").read(clip.id, verify=True)
            for how in ("own", "shared")
        )
        assert (own.state, own.missing) == (shared.state, shared.missing)
        for name, values in own.arrays.items():
            scale = np.abs(values).max()
            np.testing.assert_allclose(shared.arrays[name], values, atol=ROUNDING * scale)


def test_on_a_gpu_every_clip_gets_its_own_embeddings_and_its_own_errors(gpu: str) -> None:
    loaded: dict[str, FaceNetwork] = {}

    def load(name: str) -> FaceNetwork:
        return loaded.setdefault(name, make_network(name, device=gpu))

    crops = [make_crops(count, seed) for seed, count in enumerate((7, 2, 0, 11, 1, 3))]
    crooked = np.zeros((1, 32, 31, 3), np.uint8)
    with Consumer(load, threads=1) as consumer:
        replies = ask(consumer, crooked, *crops)
        with link(consumer) as other:
            send(other, Request("ir50", crops[0]))
            second = receive(other)
    assert "square RGB images" in replies[0].error
    network = make_network()
    for reply, images in zip(replies[1:], crops, strict=True):
        assert reply.error == ""
        for name, values in network.extract(images).items():
            largest = np.abs(values).max(initial=0.0)
            np.testing.assert_allclose(reply.arrays[name], values, rtol=0, atol=1e-4 * largest)
    expected = make_network("ir50").extract(crops[0])
    assert set(loaded) == {"resnet18", "ir50"}
    for name, values in expected.items():
        np.testing.assert_allclose(second.arrays[name], values, atol=1e-4 * np.abs(values).max())


def test_on_a_full_gpu_batches_are_halved_until_they_fit(cuda: str) -> None:
    settings = NetworkSettings(views=VIEW_SETS["basic"])
    network = load_face_network("ir50", None, settings, device=cuda, batch_size=512)
    crops = np.random.default_rng(0).integers(0, 256, (512, 112, 112, 3), dtype=np.uint8)
    expected = network.extract(crops[:2])["basic"]
    torch.cuda.empty_cache()
    # One map of all 512 images takes 1.6 GB.
    room = torch.cuda.memory_reserved() + (800 << 20)
    torch.cuda.set_per_process_memory_fraction(room / torch.cuda.mem_get_info()[1])
    try:
        with Consumer(lambda _: network, threads=1) as consumer:
            (reply,) = ask(consumer, crops)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert reply.error == ""
    assert 1 <= network.batch_size < 512
    assert reply.arrays["basic"].shape == (512, 512)
    largest = np.abs(expected).max()
    np.testing.assert_allclose(reply.arrays["basic"][:2], expected, atol=1e-4 * largest)
