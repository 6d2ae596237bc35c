"""Face networks at work: crops in, embeddings and their view statistics out."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from extractors.images import luma
from extractors.networks import NETWORKS, NetworkSpec
from extractors.plugins import shown_error
from extractors.running import merged_norms, ordered_weights
from extractors.running.arithmetic import full_float32
from extractors.running.batch_sizes import pick_sizes
from extractors.running.begun import Begun, Marks
from extractors.running.device import check_precision
from extractors.running.faults import lacks_memory
from extractors.running.settings import NetworkSettings, resolve_settings
from extractors.views import make_views, resize_crops, view_statistics
from extractors.weights.facts import WeightFacts, read_facts
from extractors.weights.files import WeightsError
from extractors.weights.load import WeightsReport, examine_weights, fill, load_weights
from extractors.weights.random import random_weights
from extractors.weights.tensors import COUNTER, LazyTensor, digest_tensors, weights_digest


class FaceNetwork:
    """Embeds face crops with one network and sums up their views.

    Always in evaluation mode and without gradients. What a crop yields does not depend on the crops
    beside it beyond rounding: in float32, on one machine, values differ by less than 1e-5 of the
    largest with the batch size and with ``channels_last``, because the library that convolves picks
    another order of summation; the deviation of identical views within one batch is 0. On a GPU,
    where that library also takes what it has timed as fastest in this process, it is 1e-4.

    Args:
        spec: one of ``NETWORKS``.
        module: the network with its parameters loaded; it is frozen, changed and moved.
        settings: what is computed.
        device: where.
        batch_size: crops in one forward pass; 0 picks by the device and the number of views. It
            is halved where the device's memory doesn't suffice.
        channels_last: lay pixels out with their channels together: on a CPU 8.2 against 6.4 faces/s
            a core with IR-50.
        merge_norms: put norms into the convolutions before them, see
            ``extractors.running.merged_norms``. Off only to compare: values differ by less
            than 1e-5 of the largest.
        order_weights: order weights for the processor beforehand, see
            ``extractors.running.ordered_weights``; float32 on a CPU only. Values differ by
            less than 1e-5 of the largest, if at all.
        facts: what the weight file says of itself; decides what ``settings`` leave open.
        digest: ``weights_digest`` of ``module``, where it is known already.

    Attributes:
        deviation: what another precision than float32 cost on the first batch, as
            ``deviation_from_float32`` says it; None before, and in float32.

    Raises:
        ValueError: the network has no such layer, or takes no such image size; ``batch_size`` is
            negative; or the processor has no instructions for the precision.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        module: nn.Module,
        settings: NetworkSettings | None = None,
        *,
        device: str | torch.device = "cpu",
        batch_size: int = 0,
        channels_last: bool = True,
        merge_norms: bool = True,
        order_weights: bool = True,
        facts: WeightFacts | None = None,
        digest: str | None = None,
    ) -> None:
        settings = NetworkSettings() if settings is None else settings
        if batch_size < 0:
            raise ValueError(f"batch_size must not be negative, got {batch_size}")
        self.device = torch.device(device)
        check_precision(settings.precision, self.device.type)
        self.spec = spec
        self.settings = resolve_settings(settings, spec, facts)
        self.facts = facts
        self.weights_digest = digest or weights_digest(module)
        self.batch_size, self._images_at_once = pick_sizes(
            spec,
            self.settings.image_size,
            len(self.settings.views.views),
            gpu_bytes=_memory(self.device),
            batch_size=batch_size,
        )
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.module = module.eval().requires_grad_(False)
        if merge_norms:
            merged_norms.merge_norms(self.module)
        if order_weights and self.device.type == "cpu" and self.settings.precision == "float32":
            ordered_weights.order_weights(
                self.module, self._images_at_once, self.settings.image_size
            )
        self.module = self.module.to(self.device)
        self.module = self.module.to(memory_format=self.memory_format)  # type: ignore[call-overload]  # a stub lacks it
        mean, deviation = (
            torch.tensor(values, dtype=torch.float32, device=self.device).view(3, 1, 1)
            for values in (spec.mean, spec.deviation)
        )
        # A GPU's convolutions are set up anew for each size of a batch: let sizes be few. They are
        # tuned for the full one, which takes seconds; with fewer crops a GPU is not what is waited
        # for.
        self.pads = self.device.type == "cuda"
        self._mean, self._spread = mean, deviation
        self.deviation: dict[str, float] | None = None

    @property
    def dim(self) -> int:
        """Length D of an embedding."""
        return self.spec.layers[self.settings.layer]

    def extract(self, crops: np.ndarray) -> dict[str, np.ndarray]:
        """Embed crops.

        Shapes (N crops):
            ``crops``: (N, S, S, 3), uint8, RGB.
            result: ``basic`` of the crop itself, and, unless the settings have one view only,
            ``mean`` and ``std`` over its views; each (N, D), float32, finite.

        Raises:
            ValueError: ``crops`` has another shape or type, or an embedding is not finite, which
                float16 can come to.
        """
        parts: dict[str, list[np.ndarray]] = {}
        done = 0
        while done < len(crops) or not parts:
            try:
                self.measure_once(crops)
                found = self.begin(crops[done : done + self.batch_size]).wait()
            except RuntimeError as error:
                if not self.make_room(error):
                    raise
                continue
            for name, values in found.items():
                parts.setdefault(name, []).append(values)
            done += self.batch_size
        result = {name: np.concatenate(arrays) for name, arrays in parts.items()}
        self.check(result)
        return result

    def gather(self, pieces: Sequence[np.ndarray]) -> Tensor:
        """Put pieces of crops together where the device can fetch them: (N, S, S, 3), uint8."""
        # A copy where an array can't be written to: torch would warn of sharing it.
        tensors = [torch.from_numpy(np.require(one, requirements=["C", "W"])) for one in pieces]
        if self.device.type != "cuda":
            return tensors[0] if len(tensors) == 1 else torch.cat(tensors)
        # From pinned memory, which is kept for the next batch, a GPU fetches them by itself.
        shape = (sum(map(len, tensors)), *tensors[0].shape[1:])
        return torch.cat(tensors, out=torch.empty(shape, dtype=torch.uint8, pin_memory=True))

    def begin(self, crops: np.ndarray | Tensor) -> Begun:
        """Embed a batch of crops, which ``gather`` may have put together.

        On a GPU this returns before it is computed, so that the next batch can be brought there
        meanwhile. The embeddings set out for this side at once: asked for later, they would stand
        behind all that the GPU was given since.
        """
        marks = Marks(self.device)
        marks.add()
        with torch.inference_mode():
            pixels = crops if isinstance(crops, Tensor) else self.gather([crops])
            pixels = pixels.to(self.device, non_blocking=True)
        marks.add()
        embeddings = self.embed(pixels)
        found = {"basic": embeddings[:, 0]}
        if len(self.settings.views.views) > 1:
            found["mean"], found["std"] = view_statistics(embeddings)
        marks.add()
        arrays = {name: values.to("cpu", non_blocking=True) for name, values in found.items()}
        marks.add()
        return Begun(arrays, marks)

    def make_room(self, error: Exception) -> bool:
        """Halve the batches after an error of memory, so that they can be tried again.

        Returns:
            Whether there is anything to try: False after any other error, and where a batch is of
            one crop already.
        """
        if not lacks_memory(error) or self.batch_size < 2:
            return False
        self.batch_size //= 2
        torch.cuda.empty_cache()
        return True

    def check(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Refuse embeddings that are not finite.

        Raises:
            ValueError: see ``extract``.
        """
        if not all(np.isfinite(values).all() for values in arrays.values()):
            raise ValueError(
                f"{self.spec.name} in {self.settings.precision} gave values that are nan or inf; "
                "use precision float32 or bfloat16, or check the weights"
            )

    def embed(self, crops: np.ndarray | Tensor) -> Tensor:
        """Embed every view of a few crops at once: (N, V, D) float32 on the device."""
        num_crops = room = len(crops)
        if self.pads and 0 < num_crops < self.batch_size:
            room = min(self.batch_size, 1 << (num_crops - 1).bit_length())
        full = self.pads and room == self.batch_size
        with torch.inference_mode(), self._arithmetic(tune=full):
            pixels = crops if isinstance(crops, Tensor) else self.gather([crops])
            pixels = pixels.to(self.device, non_blocking=True)
            if room > num_crops:
                filling = pixels.new_zeros(room - num_crops, *pixels.shape[1:])
                pixels = torch.cat([pixels, filling])
            if self.settings.detail < min(self.settings.image_size, pixels.shape[1]):
                pixels = resize_crops(pixels, self.settings.detail).permute(0, 2, 3, 1)
            views = make_views(pixels, self.settings.views, self.settings.image_size)
            count, num_views = views.shape[:2]
            if count == 0:
                return views.new_zeros(0, num_views, self.dim)
            images = views.flatten(0, 1)
            if self.settings.colour == "grey":  # broadcast to three channels below
                images = luma(images)
            images = (images - self._mean) / self._spread
            images = images.contiguous(memory_format=self.memory_format)
            embeddings = torch.cat(
                [self._run(part) for part in torch.split(images, self._images_at_once)]
            )
            return embeddings.view(count, num_views, -1)[:num_crops]

    def _run(self, images: Tensor) -> Tensor:
        if self.settings.layer == "pooled":
            return self.module.feature_map(images).float().mean(dim=(2, 3))  # type: ignore[operator,no-any-return]  # every network has it
        return self.module(images).float()  # type: ignore[no-any-return]  # a module yields a tensor

    def measure_once(self, crops: np.ndarray | Tensor) -> None:
        """Set ``deviation`` on the first crops that come, where it is not float32 that computes."""
        if self.deviation is None and self.settings.precision != "float32" and len(crops):
            self.deviation = self.deviation_from_float32(crops[: self.batch_size])

    def deviation_from_float32(self, crops: np.ndarray | Tensor) -> dict[str, float]:
        """Measure what the chosen precision costs on some crops.

        Returns:
            ``max_relative``: the largest difference of a value, as a share of the largest value in
            float32; ``min_cosine``: of an embedding with itself in float32.
        """
        float32 = copy.copy(self)  # the same parameters, which are float32 in any case
        float32.settings = replace(self.settings, precision="float32")
        float32.pads = False
        exact, rounded = float32.embed(crops), self.embed(crops)
        difference = (rounded - exact).abs().max() / exact.abs().max()
        cosine = torch.nn.functional.cosine_similarity(rounded, exact, dim=2).min()
        return {"max_relative": float(difference), "min_cosine": float(cosine)}

    @contextlib.contextmanager
    def _arithmetic(self, *, tune: bool) -> Iterator[None]:
        """Compute in the chosen precision and no lower one; ``tune`` tries convolutions first."""
        dtype: torch.dtype = getattr(torch, self.settings.precision)
        half = dtype is not torch.float32
        with (
            full_float32(self.device, tuned=tune),
            torch.autocast(self.device.type, dtype, enabled=half),
        ):
            yield


def _memory(device: torch.device) -> int:
    """Return the bytes of a GPU's memory, used or not; 0 of a processor."""
    return torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else 0


@dataclass(frozen=True)
class ExaminedNetwork:
    """Settings, facts and digest of a face network that is not loaded.

    Attributes:
        settings: resolved.
        weights_digest: of its parameters.
        facts: what its weight file says of itself.
    """

    settings: NetworkSettings
    weights_digest: str
    facts: WeightFacts | None


def examine_face_network(
    name: str, weight_file: Path | None, settings: NetworkSettings | None = None, *, seed: int = 0
) -> ExaminedNetwork:
    """Find out what ``load_face_network`` would load, or refuse what it would; load nothing.

    Args:
        name: in ``NETWORKS``.
        weight_file: see ``load_face_network``; a piece of it at a time is in memory.
        settings: see ``FaceNetwork``.
        seed: of random weights.

    Raises:
        ValueError: see ``load_face_network``.
        WeightsError: see ``load_face_network``.
        OSError: the file can't be read.
    """
    spec = find_network(name)
    if NETWORKS.plugin(name):
        check_network(spec)
    with torch.device("meta"):
        module = spec.build()
    facts = None
    if weight_file is None:
        drawn = random_weights(module, seed)
        check_drawn(name, module, drawn)
        digest = digest_tensors(drawn)
    else:
        report = examine_weights(module, weight_file)
        digest, facts = report.digest, facts_of(spec, report)
    resolved = resolve_settings(settings or NetworkSettings(), spec, facts)
    return ExaminedNetwork(resolved, digest, facts)


def load_face_network(
    name: str,
    weight_file: Path | None,
    settings: NetworkSettings | None = None,
    *,
    seed: int = 0,
    device: str | torch.device = "cpu",
    batch_size: int = 0,
    channels_last: bool = True,
    merge_norms: bool = True,
    order_weights: bool = True,
    examined: str | None = None,
) -> FaceNetwork:
    """Build a network of ``NETWORKS`` and fill it.

    Args:
        name: in ``NETWORKS``.
        weight_file: None fills it with random numbers from ``seed``, which only makes sense for
            trying things out, and what is made with it has to be marked as untrained.
        settings: see ``FaceNetwork``, as the rest; what they leave open is taken from the file
            where it says so.
        seed: of random weights.
        device: where it runs.
        batch_size: crops in one forward pass.
        channels_last: the layout of pixels.
        merge_norms: whether norms are put into the convolutions.
        order_weights: whether weights are ordered for the processor beforehand.
        examined: the digest, where ``examine_face_network`` has seen these very bytes of
            ``weight_file``; they are only read then.

    Raises:
        ValueError: ``name`` is unknown, or as ``FaceNetwork``.
        WeightsError: see ``load_weights``; or the file says that it is of another network.
        OSError: the file can't be read.
    """
    spec = find_network(name)
    with torch.device("meta"):  # values of its own would be drawn only to be overwritten
        module = spec.build()
    facts = digest = None
    if weight_file is None:
        fill(module, {name: drawn.read() for name, drawn in random_weights(module, seed).items()})
    else:
        report = load_weights(module, weight_file, examined=examined)
        digest, facts = report.digest, facts_of(spec, report)
    return FaceNetwork(
        spec,
        module,
        settings,
        device=device,
        batch_size=batch_size,
        channels_last=channels_last,
        merge_norms=merge_norms,
        order_weights=order_weights,
        facts=facts,
        digest=digest,
    )


def check_network(spec: NetworkSpec) -> None:
    """Try a plug-in's network on two images of its size.

    Raises:
        ValueError: it can't be built or raises; or it yields something else than its row says, or
            other values for an image that has another beside it.
    """
    size = spec.image_size
    images = torch.linspace(-1, 1, 6 * size * size).view(2, 3, size, size)
    expected = {layer: (2, dim) for layer, dim in spec.layers.items()}
    found: dict[str, object] = {}
    try:
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            module = spec.build().eval()
            embeddings = module(images)
            found[spec.default_layer] = tuple(embeddings.shape)
            if "pooled" in spec.layers:
                found["pooled"] = tuple(module.feature_map(images).mean(dim=(2, 3)).shape)  # type: ignore[operator]  # a method
            alone = module(images[:1])[0]
    except Exception as error:  # it is another's code
        raise ValueError(
            f"the network {spec.name} fails on images of shape {tuple(images.shape)}: "
            f"{shown_error(error)}"
        ) from error
    found = {layer: found[layer] for layer in expected}
    if found != expected:
        raise ValueError(
            f"the network {spec.name} yields embeddings of other shapes for two images than its "
            f"layers say: {found}, expected {expected}"
        )
    if not torch.allclose(alone, embeddings[0], rtol=1e-3, atol=1e-4):
        raise ValueError(
            f"the network {spec.name} yields another embedding for an image that has another "
            "beside it; in evaluation mode each must stand alone"
        )


def check_drawn(name: str, module: nn.Module, drawn: Mapping[str, LazyTensor]) -> None:
    """Refuse a network with parameters of a layer that ``random_weights`` doesn't know.

    Raises:
        ValueError: see above; it names them.
    """
    missing = [k for k in module.state_dict() if k not in drawn and not k.endswith(COUNTER)]
    if missing:
        raise ValueError(
            f"no random weights can be drawn for {', '.join(missing[:3])} of {name}; pass "
            f"--weights {name}=FILE"
        )


def find_network(name: str) -> NetworkSpec:
    """Return a network of ``NETWORKS``."""
    if name not in NETWORKS:
        raise ValueError(f"no network is called {name!r}; there are {', '.join(NETWORKS)}")
    return NETWORKS[name]


def facts_of(spec: NetworkSpec, report: WeightsReport) -> WeightFacts | None:
    """Read the facts in a weight file's header; refuse those of another network."""
    facts = read_facts(report.metadata, report.path)
    if facts and facts.network != spec.name:
        raise WeightsError(f"{report.path} is a weight file of {facts.network}, not of {spec.name}")
    return facts
