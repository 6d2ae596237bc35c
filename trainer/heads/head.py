"""Heads: from the features of one or two modalities to logits.

A head is a branch per modality (encoder, pooling, embedding), a fusion and a linear classifier.
What a clip without a modality gets is decided here, once: its branch has no step, so its embedding
is zero. Concatenation then sees zeros; FBP without biases fuses to zero and leaves the logits at
the classifier's bias; late fusion means the probabilities of the modalities that are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from extractors.plugins import BUILT_IN, POOLINGS
from trainer.attention import Pooling, make_pooling
from trainer.data.sequences import Steps
from trainer.fusion import Concatenation, FactorizedBilinearPooling
from trainer.heads.encoders import REACH, AlexNetEncoder, CnnEncoder, make_encoder, takes
from trainer.heads.plugins import PluginEncoder, PluginPooling
from trainer.settings import FusionSettings, HeadSettings, ModalitySettings


class HeadOutput(NamedTuple):
    """Output of a head for a batch.

    Args:
        logits: (B, C).
        weights: modality -> (B, L) attention weights, 0 where a clip has no step.
        parts: modality -> (B, C) logits of that modality alone; empty unless the fusion is late.
    """

    logits: Tensor
    weights: dict[str, Tensor]
    parts: dict[str, Tensor]


class Branch(nn.Module):
    """One modality's way to an embedding: encode, pool over time, embed.

    Shapes (B clips, T steps):
        ``steps``: features (B, T, ...) and mask (B, T).
        result: (B, ``out_dim``) embeddings, zero for a clip without a step, and (B, L) weights.

    Args:
        pooling: a module of ``trainer.attention``, or one of a plug-in.
        encoder: what turns the features into the steps to pool; None if they are these.
        embedding_dim: length of a linear layer with ReLU after pooling; 0 for none.
        embedding_dropout: probability, in training, of dropping a value of that layer.
    """

    def __init__(
        self,
        pooling: Pooling | PluginPooling,
        *,
        encoder: nn.Module | None = None,
        embedding_dim: int = 0,
        embedding_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.embedding: nn.Module | None = None
        self.out_dim = pooling.out_dim
        if embedding_dim:
            self.embedding = nn.Sequential(
                nn.Linear(pooling.out_dim, embedding_dim), nn.ReLU(), nn.Dropout(embedding_dropout)
            )
            self.out_dim = embedding_dim

    def forward(self, steps: Steps) -> tuple[Tensor, Tensor]:
        """Embed each clip; shapes and guarantees are in the class docstring."""
        features, mask = steps
        if self.encoder is not None:
            features, mask, _ = self.encoder(features, mask)
        embedding, weights = self.pooling(features, mask)
        if self.embedding is not None:
            has_step = mask.any(dim=1, keepdim=True)
            embedding = self.embedding(embedding).masked_fill(~has_step, 0.0)
        return embedding, weights


class Head(nn.Module):
    """Classify clips by what their modalities show.

    Shapes (B clips, C classes):
        ``video``, ``audio``: the steps of a modality; None for one the head does not use.
        result: ``HeadOutput``; ``logits`` are finite for every clip, whatever it lacks.

    Args:
        branches: modality -> its branch.
        fusion: fuses an audio and a video embedding; None with one branch, and for late fusion.
        num_classes: C.
        classifier_dropout: probability, in training, of dropping a value the classifier sees.
    """

    def __init__(
        self,
        branches: Mapping[str, Branch],
        fusion: FactorizedBilinearPooling | Concatenation | None,
        num_classes: int,
        *,
        classifier_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleDict(branches)
        self.fusion = fusion
        self.dropout = nn.Dropout(classifier_dropout)
        dims = {name: branch.out_dim for name, branch in branches.items()}
        if fusion is not None:
            dims = {"fused": fusion.out_dim}
        self.classifiers = nn.ModuleDict({n: nn.Linear(d, num_classes) for n, d in dims.items()})

    def forward(self, video: Steps | None = None, audio: Steps | None = None) -> HeadOutput:
        """Classify each clip; shapes and guarantees are in the class docstring.

        Raises:
            ValueError: the steps of a modality that the head uses are missing.
        """
        inputs = {"video": video, "audio": audio}
        embeddings: dict[str, Tensor] = {}
        weights: dict[str, Tensor] = {}
        for name, branch in self.branches.items():
            steps = inputs[name]
            if steps is None:
                raise ValueError(f"this head needs the steps of {name}, got None")
            embeddings[name], weights[name] = branch(steps)
        if self.fusion is not None:
            embeddings = {"fused": self.fusion(embeddings["audio"], embeddings["video"])}
        logits = {n: self.classifiers[n](self.dropout(e)) for n, e in embeddings.items()}
        return join_logits(logits, weights)


def join_logits(logits: dict[str, Tensor], weights: dict[str, Tensor]) -> HeadOutput:
    """Make the output of a head: of what is fused, or of late fusion's modalities.

    Args:
        logits: what is classified -> (B, C); of several, the modalities.
        weights: modality -> (B, L) weights of its steps.
    """
    if len(logits) == 1:
        return HeadOutput(next(iter(logits.values())), weights, {})
    present = [weights[name].sum(dim=1) > 0 for name in logits]
    return HeadOutput(late_logits(list(logits.values()), present), weights, logits)


def late_logits(logits: Sequence[Tensor], present: Sequence[Tensor]) -> Tensor:
    """Log of the mean probability over the modalities a clip has.

    Args:
        logits: one (B, C) per modality.
        present: one (B,) bool per modality; a clip without any counts as having all.
    """
    has = torch.stack(list(present), dim=1)  # (B, M)
    has = has | ~has.any(dim=1, keepdim=True)
    share = (has / has.sum(dim=1, keepdim=True)).log().unsqueeze(-1)  # -inf for an absent one
    return (torch.stack([x.log_softmax(dim=1) for x in logits], dim=1) + share).logsumexp(dim=1)


def make_head(
    settings: HeadSettings, shapes: Mapping[str, tuple[int, ...]], num_classes: int
) -> Head:
    """Build a head as its settings say.

    Args:
        settings: which attention, encoder and fusion.
        shapes: modality -> shape of one step's features: (D,) of embeddings, (F,) or (F, C) of
            a spectrogram.
        num_classes: C.

    Raises:
        ValueError: a modality that the fusion uses has no shape; its steps are not vectors and
            have no encoder, or one that doesn't take them (those that do are named); or a plug-in
            can't be used (``PluginError``).
    """
    check_shapes(settings, shapes)
    branches = {
        name: _make_branch(settings.modality(name), shapes[name], _encoder(settings, name))
        for name in settings.modalities
    }
    return Head(
        branches,
        _make_fusion(settings.fusion, branches),
        num_classes,
        classifier_dropout=settings.fusion.classifier_dropout,
    )


def check_shapes(settings: HeadSettings, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse features that no head of these settings can take, before one is built.

    Args:
        settings: see ``make_head``.
        shapes: see there.

    Raises:
        ValueError: see there.
    """
    for name in settings.modalities:
        if name not in shapes:
            raise ValueError(f"fusion.kind={settings.fusion.kind} needs {name} features")
        encoder, shape = _encoder(settings, name), shapes[name]
        if encoder == "none" and len(shape) != 1:
            raise ValueError(
                f"{name}: steps of shape {shape} can't be pooled as they are; "
                f"{_name_ways(settings, name, shape)}"
            )
        if encoder in REACH and not takes(encoder, shape):
            raise ValueError(
                f"{name}.encoder={encoder} takes steps of {REACH[encoder].min_bins()} bins or "
                f"more, or (bins, channels), and {name}.set={settings.modality(name).set} has "
                f"steps of shape {shape}; {_name_ways(settings, name, shape)}"
            )


def _name_ways(settings: HeadSettings, modality: str, shape: tuple[int, ...]) -> str:
    """Name the settings with which a head of this kind can take steps of a shape."""
    encoded = modality == "audio" and settings.is_network
    fitting = [kind for kind in REACH if encoded and takes(kind, shape)]
    ways = [f"audio.encoder={kind}, which is trained with the head" for kind in fitting]
    if len(shape) == 1:
        ways.append(f"{modality}.encoder=none")
    ways.append(f"{modality}.features=statistics, one vector a clip without an encoder")
    return f"choose {'; or '.join(ways)}"


def try_plugins(settings: HeadSettings, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse plug-ins that can't be used, before anything of a run is written.

    Args:
        settings: see ``make_head``.
        shapes: see there.

    Raises:
        PluginError: see ``trainer.heads.plugins``.
    """
    if settings.plugins():
        with torch.random.fork_rng(devices=[]):
            make_head(settings, shapes, num_classes=2)


def _encoder(settings: HeadSettings, modality: str) -> str:
    return settings.audio.encoder if modality == "audio" else "none"


def _make_branch(settings: ModalitySettings, shape: tuple[int, ...], encoder: str) -> Branch:
    network: AlexNetEncoder | CnnEncoder | PluginEncoder | None = None
    if encoder in REACH:
        network = make_encoder(encoder, shape)
    elif encoder != "none":
        network = PluginEncoder(encoder, shape)
    dim = network.out_dim if network else shape[0]
    pooling: Pooling | PluginPooling
    if settings.attention in BUILT_IN[POOLINGS]:
        pooling = make_pooling(
            settings.attention,
            dim,
            hidden_dim=settings.hidden_dim,
            scale=settings.scale,
            pooled=settings.pooled,
        )
    else:
        pooling = PluginPooling(settings.attention, dim)
    return Branch(
        pooling,
        encoder=network,
        embedding_dim=settings.embedding_dim,
        embedding_dropout=settings.embedding_dropout,
    )


def _make_fusion(
    settings: FusionSettings, branches: Mapping[str, Branch]
) -> FactorizedBilinearPooling | Concatenation | None:
    if settings.kind not in ("fbp", "concat"):
        return None
    dims = branches["audio"].out_dim, branches["video"].out_dim
    if settings.kind == "concat":
        return Concatenation(*dims)
    return FactorizedBilinearPooling(
        *dims,
        settings.out_dim,
        settings.rank,
        settings.dropout,
        signed_sqrt=settings.signed_sqrt,
        factor_bias=settings.factor_bias,
    )
