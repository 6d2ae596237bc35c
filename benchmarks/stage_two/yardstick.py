"""Stage two as one writes it in an afternoon: the yardstick that avfuse is measured against.

    python -m benchmarks.stage_two.yardstick [--epochs 3] [--workers 0] [-o FILE.json]

A Dataset that opens an HDF5 file per clip, a DataLoader that shuffles, pads and masks, transformer
attention on both modalities, factorized bilinear pooling, AdamW as it comes. The arithmetic is that
of icmi19's head; nothing is slowed down on purpose: the arrays are not compressed, and the number
of loader processes is the better of 0 and 2.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import h5py
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset

from benchmarks.machine import describe_machine
from benchmarks.stage_two.corpus import make_corpus
from trainer.data.corpus import Corpus

HIDDEN, OUT, RANK, CLASSES = 128, 128, 4, 7
Clip = tuple[Tensor, Tensor, int]


def write_files(corpus: Corpus, folder: Path) -> list[Path]:
    """Write one HDF5 file per clip."""
    paths = []
    for number, name in enumerate(corpus.clip_ids):
        paths.append(folder / f"{name}.h5")
        with h5py.File(paths[-1], "w") as file:
            for modality, part in corpus.sequences.items():
                file[modality] = part.of(number)
            file.attrs["label"] = int(corpus.labels[number])
    return paths


class Clips(Dataset[Clip]):
    """Reads a clip's two arrays when it is asked for it."""

    def __init__(self, paths: list[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> Clip:
        with h5py.File(self.paths[number]) as file:
            video = torch.from_numpy(file["video"][:])
            audio = torch.from_numpy(file["audio"][:])
            return video, audio, int(file.attrs["label"])


def collate(clips: list[Clip]) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Pad to the longest clip; masks say which steps are real."""
    videos, audios, labels = zip(*clips, strict=True)
    padded, masks = [], []
    for parts in (videos, audios):
        lengths = torch.tensor([len(part) for part in parts])
        padded.append(pad_sequence(list(parts), batch_first=True))
        masks.append(torch.arange(int(lengths.max())) < lengths[:, None])
    return padded[0], masks[0], padded[1], masks[1], torch.tensor(labels)


class Attention(nn.Module):
    """Transformer attention: reduce, score, sum."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduce = nn.Linear(dim, HIDDEN)
        self.score = nn.Linear(HIDDEN, 1, bias=False)

    def forward(self, steps: Tensor, mask: Tensor) -> Tensor:
        """Pool (B, T, D) to (B, HIDDEN)."""
        reduced = self.reduce(steps)
        scores = self.score(torch.tanh(reduced)).squeeze(-1).masked_fill(~mask, float("-inf"))
        return (scores.softmax(dim=1).unsqueeze(-1) * reduced).sum(dim=1)


class Head(nn.Module):
    """Both attentions, factorized bilinear pooling and a classifier."""

    def __init__(self, video_dim: int, audio_dim: int) -> None:
        super().__init__()
        self.video, self.audio = Attention(video_dim), Attention(audio_dim)
        self.video_factors = nn.Linear(HIDDEN, OUT * RANK, bias=False)
        self.audio_factors = nn.Linear(HIDDEN, OUT * RANK, bias=False)
        self.dropout = nn.Dropout(0.3)
        self.classifier = nn.Linear(OUT, CLASSES)

    def forward(self, video: Tensor, seen: Tensor, audio: Tensor, heard: Tensor) -> Tensor:
        """Return (B, CLASSES) logits."""
        factors = self.video_factors(self.video(video, seen))
        products = self.dropout(factors * self.audio_factors(self.audio(audio, heard)))
        fused = F.normalize(products.view(-1, OUT, RANK).sum(dim=-1), dim=-1)
        logits: Tensor = self.classifier(fused)
        return logits


def train(
    paths: list[Path],
    epochs: int,
    workers: int,
    *,
    on_epoch: Callable[[], object] = lambda: None,
) -> list[float]:
    """Train one head; return the seconds of each epoch."""
    torch.manual_seed(0)
    clips = Clips(paths)
    video, audio, _ = clips[0]
    head = Head(video.shape[1], audio.shape[1])
    optimiser = torch.optim.AdamW(head.parameters(), lr=1e-3)
    loader = DataLoader(
        clips, batch_size=16, shuffle=True, num_workers=workers, collate_fn=collate,
        persistent_workers=workers > 0,
    )  # fmt: skip
    seconds = []
    for _ in range(epochs):
        started = time.perf_counter()
        for videos, seen, audios, heard, labels in loader:
            loss = F.cross_entropy(head(videos, seen, audios, heard), labels, label_smoothing=0.1)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimiser.step()
        seconds.append(time.perf_counter() - started)
        on_epoch()
    return seconds


@click.command()
@click.option("--epochs", default=3, show_default=True)
@click.option("--workers", default=0, show_default=True, help="Processes of the loader.")
@click.option("-o", "--out", type=click.Path(path_type=Path), help="JSON file for the result.")
def main(epochs: int, workers: int, out: Path | None) -> None:
    """Measure the yardstick's epochs."""
    machine = describe_machine()
    with tempfile.TemporaryDirectory(prefix="avfuse-yardstick-") as folder:
        seconds = train(write_files(make_corpus(), Path(folder)), epochs, workers)
    click.echo(f"the yardstick: {min(seconds):.2f} s per epoch")
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({"machine": machine, "seconds": seconds}, indent=2) + "\n")


if __name__ == "__main__":
    main()
