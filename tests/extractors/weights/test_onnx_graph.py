from __future__ import annotations

import numpy as np
import pytest

from extractors.weights import onnx_graph
from extractors.weights.onnx_graph import OnnxError, read_graph
from tests.extractors.onnx_writer import chunk, model, node, number, tensor


def test_nodes_tensors_and_inputs_are_those_written() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    content = model(
        [node("Conv", ["x", "w"], "y", strides=[2, 300], epsilon=0.5, axis=7)],
        {"w": values, "half": values.astype(np.float16), "shape": np.array([2, 3])},
        ["x", "w"],
    )
    graph = read_graph(content)
    (found,) = graph.nodes
    assert (found.op, found.inputs, found.outputs) == ("Conv", ("x", "w"), ("y",))
    assert found.attributes == {"strides": (2, 300), "epsilon": 0.5, "axis": 7}
    assert set(graph.tensors) == {"w", "half"}
    assert np.array_equal(graph.tensors["w"], values)
    assert np.array_equal(graph.tensors["half"], values)
    assert graph.inputs == ("x",)


def test_numbers_written_in_one_and_the_old_float_field_are_read() -> None:
    joined = chunk(1, b"\x02\x03") + number(2, 1) + chunk(8, "w")
    joined += chunk(4, np.arange(6, dtype=np.float32).tobytes())
    content = number(1, 7) + chunk(7, chunk(5, joined))
    assert read_graph(content).tensors["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected one graph, got 0"),
        (number(1, 7), "expected one graph, got 0"),
        (number(1, 7) + number(7, 7), "expected one graph, got 1"),
        (number(1, 7) + b"\x3a\x7f", "cut off or damaged"),
        (number(1, 7) + b"\x0f", "cut off or damaged"),
        (b"\x08", "not a valid ONNX model"),
        (b"\x08" + b"\xff" * 20, "is damaged"),
        (number(1, 7) + chunk(7, number(1, 5)), "is damaged"),
        (number(1, 7) + chunk(7, chunk(1, chunk(4, b"\xff\xfe"))), r"\(UnicodeDecodeError\)"),
        (
            number(1, 7) + chunk(7, chunk(5, tensor("w", np.ones(3, np.float32))[:-3] + b"")),
            "not a valid ONNX model",
        ),
        (
            number(1, 7) + chunk(7, chunk(5, number(1, 2**40) + number(2, 1) + chunk(8, "w\x1b"))),
            r"has 0 bytes for 'w\\x1b' of shape \[1099511627776\]",
        ),
        (
            number(1, 7) + chunk(7, chunk(5, chunk(8, "w") + number(14, 1))),
            "keeps w in another file",
        ),
    ],
)
def test_what_is_no_sound_model_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(OnnxError, match=message):
        read_graph(content)


def test_a_flood_of_fields_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graph, "MAX_FIELDS", 100)
    with pytest.raises(OnnxError, match="more than 100 fields"):
        read_graph(number(1, 7) * 101)
