"""The examples of docstrings run, each in a folder that has what they name."""

from __future__ import annotations

import contextlib
import doctest
import inspect
import io
from pathlib import Path

import numpy as np
import pytest
import torch

import cache
import extractors
import pipeline
import trainer
from tests.doors.test_names import NAMES, callables

pytestmark = pytest.mark.slow

EXAMPLES = {
    f"{package.__name__}.{of}": text
    for package, name in NAMES
    for of, text in [
        (name, inspect.getdoc(getattr(package, name)) or ""),
        *((of, inspect.getdoc(function) or "") for of, function in callables(package, name)),
    ]
    if ">>> " in text
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_and_gives_what_it_says(name: str, at_work: Path) -> None:
    known = {
        "cache": cache,
        "extractors": extractors,
        "pipeline": pipeline,
        "trainer": trainer,
        "np": np,
        "torch": torch,
    }
    if "dataset[0]" in EXAMPLES[name]:
        sets = {"video": "resnet29"}
        known["dataset"] = trainer.Dataset("manifest.csv", cache="CACHE", sets=sets)
    examples = doctest.DocTestParser().get_examples(EXAMPLES[name])
    assert examples
    for example in examples:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            exec(compile(example.source, name, "single"), known)  # noqa: S102 - our own lines
        if example.want:  # without it, what is printed depends on the clips
            assert said.getvalue() == example.want
