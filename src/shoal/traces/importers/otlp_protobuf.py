"""OTLP trace exports in protocol buffers, as OpenTelemetry's Python SDK sends them, turned into their JSON form.

Only the wire format and the few messages of a trace export are known here (opentelemetry-proto, trace.proto and
common.proto, version 1); unknown fields are passed over, as the format asks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

# Message -> field number -> (name in JSON, kind); a kind that is a message's name is read as that message. "+" marks
# repeated fields.
_MESSAGES: dict[str, dict[int, tuple[str, str]]] = {
    "Export": {1: ("resourceSpans", "+ResourceSpans")},
    "ResourceSpans": {1: ("resource", "Resource"), 2: ("scopeSpans", "+ScopeSpans"), 3: ("schemaUrl", "text")},
    "Resource": {1: ("attributes", "+KeyValue")},
    "ScopeSpans": {1: ("scope", "Scope"), 2: ("spans", "+Span"), 3: ("schemaUrl", "text")},
    "Scope": {1: ("name", "text"), 2: ("version", "text"), 3: ("attributes", "+KeyValue")},
    "Span": {
        1: ("traceId", "hex"), 2: ("spanId", "hex"), 3: ("traceState", "text"), 4: ("parentSpanId", "hex"),
        5: ("name", "text"), 6: ("kind", "number"), 7: ("startTimeUnixNano", "fixed"), 8: ("endTimeUnixNano", "fixed"),
        9: ("attributes", "+KeyValue"), 11: ("events", "+Event"), 13: ("links", "+Link"), 15: ("status", "Status"),
    },
    "Event": {1: ("timeUnixNano", "fixed"), 2: ("name", "text"), 3: ("attributes", "+KeyValue")},
    "Link": {1: ("traceId", "hex"), 2: ("spanId", "hex"), 4: ("attributes", "+KeyValue")},
    "Status": {2: ("message", "text"), 3: ("code", "number")},
    "KeyValue": {1: ("key", "text"), 2: ("value", "AnyValue")},
    "AnyValue": {
        1: ("stringValue", "text"), 2: ("boolValue", "boolean"), 3: ("intValue", "signed"),
        4: ("doubleValue", "double"), 5: ("arrayValue", "Array"), 6: ("kvlistValue", "Pairs"), 7: ("bytesValue", "hex"),
    },
    "Array": {1: ("values", "+AnyValue")},
    "Pairs": {1: ("values", "+KeyValue")},
}  # fmt: skip
_DEEPEST = 64


def decode_export(data: bytes) -> dict[str, Any]:
    """The JSON form of an export request.

    Raises:
        ValueError: the bytes are no such message.
    """
    document = _message(memoryview(data), "Export", 0)
    if "resourceSpans" not in document:
        raise ValueError("no resource spans")
    return document


def _message(data: memoryview, name: str, depth: int) -> dict[str, Any]:
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    known, found = _MESSAGES[name], dict[str, Any]()
    for number, value in _fields(data):
        if number not in known:
            continue
        field, kind = known[number]
        read = _value(value, kind.lstrip("+"), depth)
        if kind.startswith("+"):
            found.setdefault(field, []).append(read)
        else:
            found[field] = read
    return found


def _value(value: int | memoryview, kind: str, depth: int) -> Any:
    if isinstance(value, int):
        if kind == "boolean":
            return bool(value)
        if kind == "double":
            return struct.unpack("<d", struct.pack("<Q", value))[0]
        if kind == "signed":
            return str(value - 2**64 if value >= 2**63 else value)
        if kind in ("fixed", "number"):
            return str(value) if kind == "fixed" else value
        raise ValueError(f"a number where {kind} is expected")
    if kind == "text":
        return bytes(value).decode("utf-8", "replace")
    if kind == "hex":
        return bytes(value).hex()
    if kind in _MESSAGES:
        return _message(value, kind, depth + 1)
    raise ValueError(f"bytes where {kind} is expected")


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of one message: numbers for the scalar wire types, slices for the delimited one."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            if at + size > len(data):
                raise ValueError("torn number")
            yield number, int.from_bytes(data[at : at + size], "little")
            at += size
        elif wire == 2:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise ValueError("torn field")
            yield number, data[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {wire}")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("torn number")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & (2**64 - 1), at
        shift += 7
