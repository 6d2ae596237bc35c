"""Write the heads of a run as ONNX files, or as plain parameters with a loader."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from cache.commit import whole_folder, write_whole
from cache.version import own_version
from trainer.export.raw import RawHead, check_exportable, step_shapes
from trainer.runs.folder import Run, RunError
from trainer.runs.heads import load_heads
from trainer.training.trained import TrainedHead

FORMAT = "avfuse heads 1"
CONFIG, LOADER = "config.json", "load_head.py"
OPSET = 20
TRACED = 307  # steps of the clips that a model is traced with
# Poolings and fusions that the loader writes out.
LOADABLE = ("mean", "self", "relation", "transformer")


def export_heads(run: Run, form: str, out: Path) -> list[str]:
    """Write every head of a run, and ``config.json`` with what it wants and answers.

    ``onnx``: ``<head>.onnx``, see ``trainer.export.raw.RawHead`` for inputs and output.
    ``torch``: ``<head>.safetensors``, parameters, normalisation, prior and temperature by name, and
    ``load_head.py``, which needs neither avfuse nor a network of it.

    Args:
        run: a finished run of ``train``.
        form: ``onnx`` or ``torch``.
        out: the folder to write; must not exist.

    Returns:
        Names of the heads, such as ``fold-0-seed-1``.

    Raises:
        RunError: ``out`` exists, the run has no heads of its own, a checkpoint is missing or
            damaged, its heads can't be exported so (see ``check_exportable``), or a library isn't
            installed.
        OSError: something can't be read or written.
    """
    if out.exists():
        raise RunError(f"{out} exists; choose another folder or remove it")
    saved = load_heads(run)
    heads = {one.name: one.trained for one in saved}
    for head in heads.values():
        check_exportable(head)
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole_folder(out) as folder:
        FORMS[form](heads, folder)
        first = next(iter(heads.values()))
        config = {
            "format": FORMAT,
            "avfuse": own_version(),
            "heads": {one.name: {"fold": one.fold, "seed": one.seed} for one in saved},
            "classes": list(first.classes),
            "inputs": _describe_inputs(first),
            "fusion": first.settings.fusion.kind,
            "signed_sqrt": first.settings.fusion.signed_sqrt,
            "sets": dict(first.set_keys),
            "untrained": first.untrained,
        }
        write_whole(folder / CONFIG, json.dumps(config, indent=2) + "\n")
    return list(heads)


def _describe_inputs(head: TrainedHead) -> dict[str, Any]:
    """Say for each modality what a step is, and how it is pooled."""
    shapes = step_shapes(head)
    return {
        name: {
            "set": (part := head.settings.modality(name)).set,
            "features": head.features[name],
            "step": list(shapes[name]),
            "attention": part.attention,
            "scale": part.scale,
            "pooled": part.pooled,
        }
        for name in head.settings.modalities
    }


def _write_onnx(heads: Mapping[str, TrainedHead], folder: Path) -> None:
    for name, data in zip(heads, convert_heads(list(heads.values())), strict=True):
        write_whole(folder / f"{name}.onnx", data)


def convert_heads(heads: Sequence[TrainedHead]) -> Iterator[bytes]:
    """Convert heads of one run to ONNX models; numbers of clips and steps are free.

    PyTorch takes seconds to convert a module, so the first head's model is taken for all, with
    each one's parameters.

    Raises:
        RunError: a library isn't installed; see also ``check_exportable``.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - PyTorch asks for it
    except ImportError as error:
        raise RunError("--to onnx needs onnx: pip install 'avfuse[onnx]'") from error
    model = _trace(heads[0])
    for head in heads:
        state = RawHead(head).state_dict()
        names = {tensor.name for tensor in model.graph.initializer}
        if names != state.keys():
            raise RuntimeError(f"the model lacks parameters: {sorted(names ^ state.keys())}")
        for tensor in model.graph.initializer:
            tensor.CopyFrom(onnx.numpy_helper.from_array(state[tensor.name].numpy(), tensor.name))
        yield model.SerializeToString(deterministic=True)


def _trace(head: TrainedHead) -> Any:
    """Let PyTorch make a model of a head, without the paths of this machine."""
    clips = torch.export.Dim("clips")
    inputs: dict[str, torch.Tensor] = {}
    free: dict[str, dict[int, Any]] = {}
    for number, (name, shape) in enumerate(step_shapes(head).items()):
        steps = torch.export.Dim(f"{name}_steps")
        # No two sizes are alike, and none is 1 further in, lest PyTorch take them for fixed ones.
        inputs[name] = torch.zeros(2, TRACED + number, *shape)
        inputs[f"{name}_mask"] = torch.ones(2, TRACED + number, dtype=torch.bool)
        free |= {name: {0: clips, 1: steps}, f"{name}_mask": {0: clips, 1: steps}}
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of PyTorch about its own
        logger.setLevel(logging.ERROR)  # it misses torchvision, of which a head has nothing
        program = torch.onnx.export(
            RawHead(head).eval(),
            (),
            kwargs=inputs,
            dynamo=True,
            dynamic_shapes=free,
            input_names=list(inputs),
            output_names=["probabilities"],
            opset_version=OPSET,
            optimize=False,  # else parameters are folded into constants without a name
            verbose=False,
        )
    logger.setLevel(level)
    if program is None:
        raise RuntimeError("PyTorch made no ONNX model")
    model = program.model_proto
    del model.graph.value_info[:]  # shapes on the way: hints, of which some are of this trace alone
    for node in model.graph.node:
        del node.metadata_props[:]  # lines of code with their paths
    return model


def _write_torch(heads: Mapping[str, TrainedHead], folder: Path) -> None:
    for name, head in heads.items():
        if "audio" in head.settings.modalities and head.settings.audio.encoder != "none":
            raise RunError(f"{LOADER} has no audio encoder; --to onnx takes this run")
        kinds = [head.settings.modality(m).attention for m in head.settings.modalities]
        if unknown := sorted({*kinds} - {*LOADABLE}):
            raise RunError(
                f"{LOADER} knows the attentions {', '.join(LOADABLE)}, and this run has "
                f"{', '.join(unknown)}; --to onnx takes it"
            )
        tensors = {key: value.contiguous() for key, value in head.state.items()}
        for modality, fitted in head.normalisation.items():
            tensors[f"normalisation.{modality}.mean"] = torch.from_numpy(fitted.mean)
            tensors[f"normalisation.{modality}.deviation"] = torch.from_numpy(fitted.deviation)
        tensors["prior"] = torch.from_numpy(head.prior)
        tensors["temperature"] = torch.tensor(head.temperature, dtype=torch.float64)
        write_whole(folder / f"{name}.safetensors", safetensors.torch.save(tensors))
    write_whole(folder / LOADER, (Path(__file__).parent / LOADER).read_bytes())


FORMS: dict[str, Callable[[Mapping[str, TrainedHead], Path], None]] = {
    "onnx": _write_onnx,
    "torch": _write_torch,
}
