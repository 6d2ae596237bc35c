"""The ONNX format, just enough of it to find a graph's nodes and tensors.

Not by the onnx package, which breaks two promises: it allocates before a limit can be checked
(20 MB of empty nodes became 1.5 GB), and it copies all values, where planning is to find them and
read them a piece at a time.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

MAX_FIELDS = 200_000  # of one message; the largest face networks have some thousand
DTYPES: dict[int, np.dtype[np.floating]] = {
    1: np.dtype("<f4"),
    10: np.dtype("<f2"),
    11: np.dtype("<f8"),
}
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
# Field numbers of onnx.proto.
MODEL_GRAPH = 7
GRAPH_NODE, GRAPH_INITIALIZER, GRAPH_INPUT = 1, 5, 11
NODE_INPUT, NODE_OUTPUT, NODE_OP, NODE_ATTRIBUTE = 1, 2, 4, 5
ATTRIBUTE_NAME, ATTRIBUTE_FLOAT, ATTRIBUTE_INT, ATTRIBUTE_INTS = 1, 2, 3, 8
TENSOR_DIMS, TENSOR_TYPE, TENSOR_FLOATS, TENSOR_NAME, TENSOR_RAW = 1, 2, 4, 8, 9
TENSOR_LOCATION = 14

Attribute = float | int | tuple[int, ...]


class OnnxError(ValueError):
    """Error of bytes that are not an ONNX graph, or one of an unknown form."""


@dataclass(frozen=True)
class Node:
    """One operation: its kind, the names of what it takes and yields, and its attributes."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Attribute]


@dataclass(frozen=True)
class Graph:
    """Operations in the order of the file, float tensors by name, and the names of the inputs."""

    nodes: tuple[Node, ...]
    tensors: dict[str, np.ndarray]
    inputs: tuple[str, ...]


def read_graph(content: bytes | mmap.mmap) -> Graph:
    """Read the graph of an ONNX model.

    Returns:
        Float tensors only, whose values stay where they lie in ``content``; other constants, such
        as shapes, are left out.

    Raises:
        OnnxError: the bytes are damaged or no ONNX model, or a tensor lies in another file.
    """
    try:
        return parse_model(memoryview(content))
    except (IndexError, struct.error, UnicodeDecodeError, TypeError, OverflowError) as error:
        raise OnnxError(f"is not a valid ONNX model ({type(error).__name__})") from error


def parse_model(content: memoryview) -> Graph:
    """Read a ModelProto."""
    graphs = [value for number, value in fields(content) if number == MODEL_GRAPH]
    if len(graphs) != 1 or not isinstance(graphs[0], memoryview):
        raise OnnxError(f"is no ONNX model: expected one graph, got {len(graphs)}")
    nodes: list[Node] = []
    tensors: dict[str, np.ndarray] = {}
    inputs: list[str] = []
    for number, value in fields(graphs[0]):
        if number == GRAPH_NODE:
            nodes.append(parse_node(as_bytes(value)))
        elif number == GRAPH_INITIALIZER:
            name, tensor = parse_tensor(as_bytes(value))
            if tensor is not None:
                tensors[name] = tensor
        elif number == GRAPH_INPUT:
            inputs += [text(v) for n, v in fields(as_bytes(value)) if n == 1]
    return Graph(tuple(nodes), tensors, tuple(name for name in inputs if name not in tensors))


def parse_node(content: memoryview) -> Node:
    """Read a NodeProto."""
    op = ""
    inputs: list[str] = []
    outputs: list[str] = []
    attributes: dict[str, Attribute] = {}
    for number, value in fields(content):
        if number == NODE_INPUT:
            inputs.append(text(value))
        elif number == NODE_OUTPUT:
            outputs.append(text(value))
        elif number == NODE_OP:
            op = text(value)
        elif number == NODE_ATTRIBUTE:
            name, attribute = parse_attribute(as_bytes(value))
            if attribute is not None:
                attributes[name] = attribute
    return Node(op, tuple(inputs), tuple(outputs), attributes)


def parse_attribute(content: memoryview) -> tuple[str, Attribute | None]:
    """Read a number or a list of whole numbers out of an AttributeProto."""
    name = ""
    found: Attribute | None = None
    integers: list[int] = []
    for number, value in fields(content):
        if number == ATTRIBUTE_NAME:
            name = text(value)
        elif number == ATTRIBUTE_FLOAT and isinstance(value, memoryview):
            found = float(struct.unpack("<f", value)[0])
        elif number == ATTRIBUTE_INT and isinstance(value, int):
            found = value
        elif number == ATTRIBUTE_INTS:
            integers += whole_numbers(value)
    return name, tuple(integers) if integers else found


def parse_tensor(content: memoryview) -> tuple[str, np.ndarray | None]:
    """Read a TensorProto; None for one that is not float."""
    name = ""
    dtype: np.dtype[np.floating] | None = None
    shape: list[int] = []
    raw: memoryview | None = None
    for number, value in fields(content):
        if number == TENSOR_DIMS:
            shape += whole_numbers(value)
        elif number == TENSOR_TYPE and isinstance(value, int):
            dtype = DTYPES.get(value)
        elif number == TENSOR_NAME:
            name = text(value)
        elif number in (TENSOR_FLOATS, TENSOR_RAW):
            raw = as_bytes(value)
        elif number == TENSOR_LOCATION and value:
            raise OnnxError(f"keeps {name or 'a tensor'} in another file; save it as one file")
    if dtype is None:
        return name, None
    count = 1
    for size in shape:
        count *= size
    if raw is None or len(raw) != count * dtype.itemsize:
        got = 0 if raw is None else len(raw)
        raise OnnxError(f"has {got} bytes for {name!a} of shape {shape}; it is damaged")
    return name, np.frombuffer(raw, dtype).reshape(shape)


def fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Go through the fields of a message: number, and a whole number or the bytes."""
    place = 0
    for _ in range(MAX_FIELDS):
        if place == len(content):
            return
        tag, place = varint(content, place)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, place = varint(content, place)
            yield number, value
            continue
        if kind == BYTES:
            size, place = varint(content, place)
        else:
            size = {FIXED64: 8, FIXED32: 4}.get(kind, len(content) + 1)
        if place + size > len(content):
            raise OnnxError("is not a valid ONNX model; it is cut off or damaged")
        yield number, content[place : place + size]
        place += size
    raise OnnxError(f"has more than {MAX_FIELDS} fields in one message")


def varint(content: memoryview, place: int) -> tuple[int, int]:
    """Read a whole number of up to 64 bits, seven to a byte; give it and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        byte = content[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise OnnxError("is not a valid ONNX model; it is damaged")


def whole_numbers(value: int | memoryview) -> Sequence[int]:
    """Read a repeated field, which is one number or many in one."""
    if isinstance(value, int):
        return [value]
    numbers = []
    place = 0
    while place < len(value):
        number, place = varint(value, place)
        numbers.append(number)
    return numbers


def as_bytes(value: int | memoryview) -> memoryview:
    """Insist on bytes."""
    if isinstance(value, int):
        raise OnnxError("is not a valid ONNX model; it is damaged")
    return value


def text(value: int | memoryview) -> str:
    """Insist on text."""
    return bytes(as_bytes(value)).decode()
