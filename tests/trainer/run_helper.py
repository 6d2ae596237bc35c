"""A small finished run for tests."""

from __future__ import annotations

from pathlib import Path

from tests.trainer.predictions_helper import predictions_of
from trainer.runs.run_writer import RunWriter

TABLE = predictions_of("ahs", "ahh")


def make_run(path: Path, *, overwrite: bool = False, kind: str = "train") -> Path:
    with RunWriter(path, {"kind": kind}, overwrite=overwrite) as writer:
        writer.write_predictions(TABLE, {"seed-0": TABLE})
        writer.write("epochs = 3\n", "config.toml")
        writer.write(b"\x00", "checkpoints", "seed-0.safetensors")
        writer.finish({"n": 3}, members=["seed-0"])
    return path
