"""Stacked heads: many heads of one shape as one module, their parameters behind each other.

A stack has V *variants*, heads that differ in their attention, times S *streams*, seeds. The heads
of a stream see the same batches, so that a batch's rows are gathered once for all of them and
multiplied by all their matrices at once; what is small is computed for the whole stack in one call.
Each head's own numbers are those it has alone, up to the order of summation.

A pooled embedding is linear in the steps, so every attention is computed as weights and one sum of
the steps themselves: the reduced embeddings of transformer attention are ``W sum(w_i f_i) + b``.

Letters: V variants, S streams, B clips a stream, P variants of one attention, C classes.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from trainer.fusion import NORM_EPS, ROOT_EPS
from trainer.heads.head import Head
from trainer.heads.stack_batches import StackedBatch
from trainer.heads.stack_ops import Block, Packed, by_stream, join_blocks, stacked_linear
from trainer.heads.stack_pooling import StackedPooling, make_stacked_pooling
from trainer.settings import AugmentSettings, ModalitySettings, TrainSettings

STACKABLE = ("mean", "self", "relation", "transformer")
# In what the variants of a stack may differ.
FREE = {"attention", "hidden_dim", "scale", "pooled"}
Noise = Mapping[str, Tensor]


def why_not_stacked(variants: Sequence[TrainSettings]) -> str:
    """Say why heads of these settings can't be trained as one; empty if they can."""
    first = variants[0]
    for settings in variants:
        if not settings.is_network:
            return f"head.kind={settings.head.kind} is fitted at once"
        if "audio" in settings.modalities and settings.audio.encoder != "none":
            return f"audio.encoder={settings.audio.encoder} is trained with each head"
        if settings.augment != AugmentSettings():
            return "augmentation changes the batches of each head"
        if settings.fusion.kind == "late":
            return "fusion.kind=late trains two heads in one"
        for name in settings.modalities:
            kind = settings.modality(name).attention
            if kind not in STACKABLE:
                return f"{name}.attention={kind} is not among {', '.join(STACKABLE)}"
        if (settings.fusion, settings.optim) != (first.fusion, first.optim):
            return "their fusion or optim settings differ"
        for name in first.modalities:
            if _fixed(settings.modality(name)) != _fixed(first.modality(name)):
                return f"their {name} settings differ in more than the attention"
            if first.fusion.kind != "fbp" and settings.modality(name) != first.modality(name):
                return f"fusion.kind={first.fusion.kind} needs embeddings of one length"
    return ""


def _fixed(settings: ModalitySettings) -> list[object]:
    return [getattr(settings, f.name) for f in fields(settings) if f.name not in FREE]


@dataclass(frozen=True)
class _Kind:
    """The variants that pool a modality in one way: their numbers, and how."""

    settings: ModalitySettings
    variants: tuple[int, ...]


class StackedHeads(nn.Module):
    """V x S heads whose parameters lie in common tensors, and are trained as one module.

    Args:
        variants: (V) settings, for which ``why_not_stacked`` has nothing to say.
        heads: (V)(S) heads as ``make_head`` made them. They become views of the stack: what the
            stack learns they know.

    Attributes:
        members: parameter -> its variants; the parameter is (P, S, ...).
    """

    def __init__(self, variants: Sequence[TrainSettings], heads: Sequence[Sequence[Head]]) -> None:
        super().__init__()
        self.settings = variants[0]
        self.kinds = {name: _find_kinds(variants, name) for name in self.settings.modalities}
        self.members: dict[str, tuple[int, ...]] = {}
        for modality, kinds in self.kinds.items():
            own = (f"branches.{modality}.", f"fusion.{modality}_factors.")
            for number, kind in enumerate(kinds):
                for name, _ in heads[kind.variants[0]][0].named_parameters():
                    if name.startswith(own):
                        self._stack(name, number, kind.variants, heads)
        everyone = tuple(range(len(variants)))
        for name, _ in heads[0][0].named_parameters():
            if name.startswith("classifiers."):
                self._stack(name, 0, everyone, heads)
        self._dropouts = self._find_dropouts()
        self._poolings = {name: self._make_poolings(name) for name in self.kinds}

    def _stack(
        self, name: str, kind: int, members: tuple[int, ...], heads: Sequence[Sequence[Head]]
    ) -> None:
        """Put one parameter of some variants behind each other."""
        own = [[head.get_parameter(name) for head in heads[variant]] for variant in members]
        stacked = torch.stack([torch.stack([p.detach() for p in row]) for row in own])
        self.register_parameter(_key(name, kind), nn.Parameter(stacked))
        self.members[_key(name, kind)] = members
        for row, values in zip(own, stacked, strict=True):
            for parameter, value in zip(row, values, strict=True):
                parameter.data = value

    def forward(self, batch: StackedBatch, noise: Noise) -> Tensor:
        """Classify the clips of a batch.

        Args:
            batch: the clips.
            noise: what dropout multiplies by, see ``draw_noise``.

        Returns:
            Logits (V, S, B, C), finite also for empty bags.
        """
        sides = {name: self._side(name, part, noise) for name, part in batch.parts.items()}
        fusion = self.settings.fusion
        if fusion.kind == "fbp":
            fused = sides["audio"] * sides["video"]
            if "fusion" in noise:
                fused = fused * noise["fusion"]
            fused = fused.reshape(*fused.shape[:-1], fusion.out_dim, fusion.rank).sum(-1)
            if fusion.signed_sqrt:
                fused = fused / (fused.abs() + ROOT_EPS).sqrt()
            norm = torch.linalg.vector_norm(fused, dim=-1, keepdim=True)
            fused = fused / torch.where(norm > NORM_EPS, norm, 1.0)
        elif fusion.kind == "concat":
            fused = torch.cat([sides["audio"], sides["video"]], dim=-1)
        else:
            fused = sides[fusion.kind]
        if "classifier" in noise:
            fused = fused * noise["classifier"]
        name = fusion.kind if fusion.kind in sides else "fused"
        return self._linear(fused, f"classifiers.{name}", 0)

    def draw_noise(self, batch: StackedBatch, generators: Sequence[torch.Generator]) -> Noise:
        """Draw what dropout multiplies by, for each stream as its heads draw it alone.

        Args:
            batch: the clips.
            generators: one a stream, on the CPU whatever the device: one seed, one noise.

        Returns:
            (S, B, ...) of 0 and 1 / (1 - p), by the layer.
        """
        noise = {name: torch.zeros(*batch.real.shape, width) for name, width, _ in self._dropouts}
        for stream, (size, generator) in enumerate(zip(batch.sizes, generators, strict=True)):
            for name, _, dropout in self._dropouts:
                kept = noise[name][stream, :size].bernoulli_(1.0 - dropout, generator=generator)
                kept.div_(1.0 - dropout)
        return {name: values.to(batch.real.device) for name, values in noise.items()}

    def _find_dropouts(self) -> list[tuple[str, int, float]]:
        """Name, width and probability of each layer that drops, in the order that heads draw."""
        fusion = self.settings.fusion
        layers: list[tuple[str, int, float]] = []
        for name in self.settings.modalities:
            own = self.settings.modality(name)
            layers.append((name, own.embedding_dim, own.embedding_dropout))
        if fusion.kind == "fbp":
            layers.append(("fusion", fusion.out_dim * fusion.rank, fusion.dropout))
        width = next(p.shape[-1] for n, p in self.named_parameters() if n.startswith("classifiers"))
        layers.append(("classifier", width, fusion.classifier_dropout))
        return [layer for layer in layers if layer[1] and layer[2]]

    def _side(self, modality: str, batch: Packed, noise: Noise) -> Tensor:
        """One modality's way to the fusion: (V, S, B, length)."""
        kinds = self.kinds[modality]
        done = []
        for number, pooled in enumerate(self._pool(modality, batch)):
            if kinds[number].settings.embedding_dim:
                pooled = self._linear(pooled, f"branches.{modality}.embedding.0", number).relu()
                pooled = pooled * noise.get(modality, 1.0) * batch.has
            if self.settings.fusion.kind == "fbp":
                pooled = self._linear(pooled, f"fusion.{modality}_factors", number)
            done.append(pooled)
        if len(done) == 1:
            return done[0]
        order = torch.tensor([v for kind in kinds for v in kind.variants]).argsort()
        return torch.cat(done).index_select(0, order.to(batch.has.device))

    def _pool(self, modality: str, batch: Packed) -> list[Tensor]:
        """Pool a modality's clips by each kind: (P, S, B, length), 0 for one without a row."""
        poolings = self._poolings[modality]
        matrices, biases, widths = _join_maps([pooling.maps() for pooling in poolings])
        pooled: list[list[Tensor]] = [[] for _ in poolings]
        for block in batch.blocks:
            mapped = torch.split(_map_rows(block, matrices, biases), widths, dim=1)
            for pooling, own, done in zip(poolings, mapped, pooled, strict=True):
                done.append(pooling.pool(block, own))
        return [join_blocks(of_kind, batch.has) for of_kind in pooled]

    def _make_poolings(self, modality: str) -> list[StackedPooling]:
        return [
            make_stacked_pooling(
                kind.settings,
                len(kind.variants),
                functools.partial(self._get, f"branches.{modality}.pooling", number),
            )
            for number, kind in enumerate(self.kinds[modality])
        ]

    def _linear(self, values: Tensor, name: str, number: int) -> Tensor:
        """Map (P, S, B, d) values by each head's own linear layer."""
        result = stacked_linear(values, self._get(name, number, "weight"))
        if _key(f"{name}.bias", number) in self.members:
            result = result + self._get(name, number, "bias").unsqueeze(2)
        return result

    def _get(self, layer: str, number: int, name: str) -> Tensor:
        found: Tensor = self._parameters[_key(f"{layer}.{name}", number)]  # type: ignore[assignment]  # each is one
        return found


def _find_kinds(variants: Sequence[TrainSettings], modality: str) -> tuple[_Kind, ...]:
    found: dict[ModalitySettings, list[int]] = {}
    for number, settings in enumerate(variants):
        found.setdefault(settings.modality(modality), []).append(number)
    return tuple(_Kind(settings, tuple(members)) for settings, members in found.items())


@functools.cache
def _key(name: str, kind: int) -> str:
    """A parameter's name in the stack, where a dot can't stand in one."""
    return f"{name.replace('.', ':')}:{kind}"


def _join_maps(
    maps: Sequence[tuple[Tensor, Tensor | None] | None],
) -> tuple[Sequence[Tensor], Sequence[Tensor], list[int]]:
    """Join what several poolings map rows by; (K, D) and (K) of each stream, and their widths."""
    wanted = [own for own in maps if own is not None]
    widths = [0 if own is None else own[0].shape[1] for own in maps]
    if not wanted:
        return [], [], widths
    weights = [weight for weight, _ in wanted]
    biases = [w.new_zeros(w.shape[:2]) if b is None else b for w, b in wanted]
    if len(wanted) == 1:
        return by_stream(weights[0]), by_stream(biases[0]), widths
    return by_stream(torch.cat(weights, dim=1)), by_stream(torch.cat(biases, dim=1)), widths


def _map_rows(block: Block, matrices: Sequence[Tensor], biases: Sequence[Tensor]) -> Tensor:
    """Map a block's rows by all that look at it, in one product: (n, K)."""
    if not matrices:
        return block.rows[:, :0]
    return torch.addmm(biases[block.stream], block.rows, matrices[block.stream].t())
