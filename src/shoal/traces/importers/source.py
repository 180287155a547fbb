"""A file as importers see it: records with their places, whatever state the file is in.

A file is *lines* (one JSON value to a line), a *document* (one JSON value), an *archive* (zip), or nothing that can be
read. Torn, overlong, binary and mixed files give the records they hold; the rest is counted with its place.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from shoal.traces.problems import Problems

LONGEST_LINE = 64 * 2**20
"""Bytes of the longest line that is read; a longer one is counted and passed over without being kept in memory."""

LARGEST_DOCUMENT = 2 * 2**30
"""Bytes of the largest single JSON document that is read."""

_HEAD = 256 * 2**10
_SAMPLED = 40
_PIECE = 2**20


class Source:
    """One file.

    Args:
        path: the file.
        problems: where what is wrong is counted.

    Attributes:
        name: the file's name, as it stands in places.
    """

    def __init__(self, path: Path, problems: Problems) -> None:
        self.path = path
        self.name = path.name
        self.problems = problems
        self.size = path.stat().st_size
        with path.open("rb") as file:
            self.head = file.read(_HEAD)

    @cached_property
    def shape(self) -> str:
        """What kind of file it is: empty, parquet, archive, binary, lines or document."""
        head = self.head.removeprefix(b"\xef\xbb\xbf").lstrip()
        if not head:
            return "empty" if self.size <= len(self.head) else "lines"
        if head.startswith(b"PAR1"):
            return "parquet"
        if head.startswith(b"PK\x03\x04"):
            return "archive"
        if b"\x00" in head[:4096]:
            return "binary"
        first, newline, rest = head.partition(b"\n")
        if _parses(first) and (rest.strip() or not first.lstrip().startswith((b"[", b"{"))):
            return "lines"
        if head[:1] in (b"[", b"{") and (not newline or not _any_line_parses(head)):
            return "document"
        return "lines"

    @cached_property
    def document(self) -> Any:
        """The one JSON value of a document; None (and a problem) if there is none that can be read."""
        if self.size > LARGEST_DOCUMENT:
            self.problems.add("document too large", self.name, f"{self.size} bytes; split it into lines")
            return None
        data = self.path.read_bytes().removeprefix(b"\xef\xbb\xbf")
        try:
            return orjson.loads(data)
        except orjson.JSONDecodeError as error:
            values, line = salvage(data.decode("utf-8", "replace"))
            detail = str(error) if not values else f"{error}; {len(values)} whole items before it are kept"
            self.problems.add("torn document", f"{self.name}:{line}", detail)
            return values or None

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """(line number from 1, line without its end); lines beyond LONGEST_LINE are counted and passed over."""
        with self.path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE and not line.endswith(b"\n"):
                    length = len(line)
                    while (piece := file.readline(_PIECE)) and not piece.endswith(b"\n"):
                        length += len(piece)
                    self.problems.add("line too long", self.place(number), f"more than {length} bytes")
                    continue
                yield number, line.rstrip(b"\r\n")

    def records(self) -> Iterator[tuple[str, Any]]:
        """(place, JSON value): each line, or each item of a document that is a list, or the document itself."""
        if self.shape in ("empty", "binary", "archive", "parquet"):
            return
        if self.shape == "document":
            document = self.document
            if isinstance(document, list):
                for number, item in enumerate(document):
                    yield f"{self.name}:item {number}", item
            elif document is not None:
                yield self.name, document
            return
        for number, line in self.lines():
            text = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not text.strip() or text.strip() == b"data: [DONE]":
                continue
            # Server-sent events put this before each record.
            text = text.removeprefix(b"data:").lstrip() if text.startswith(b"data:") else text
            try:
                yield self.place(number), orjson.loads(text)
            except orjson.JSONDecodeError as error:
                self.problems.add("not JSON", self.place(number), str(error))

    def objects(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The records that are JSON objects; others are counted."""
        for place, record in self.records():
            if isinstance(record, dict):
                yield place, record
            else:
                self.problems.add("not an object", place, type(record).__name__)

    def place(self, line: int) -> str:
        """``FILE:LINE``."""
        return f"{self.name}:{line}"

    @cached_property
    def sample(self) -> list[Any]:
        """The first records, for recognition; problems met on the way are not counted."""
        if self.shape == "document":
            document = self.document
            return list(document[:_SAMPLED]) if isinstance(document, list) else [document]
        found: list[Any] = []
        lines = self.head.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        for line in lines if self.size <= len(self.head) else lines[:-1]:
            try:
                found.append(orjson.loads(line.removeprefix(b"data:")))
            except orjson.JSONDecodeError:
                continue
            if len(found) == _SAMPLED:
                break
        return found

    @cached_property
    def members(self) -> list[str]:
        """Names within an archive; empty (and a problem) if its directory is torn."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                return archive.namelist()
        except (zipfile.BadZipFile, OSError, ValueError) as error:
            self.problems.add("torn archive", self.name, error)
            return []


def salvage(text: str) -> tuple[list[Any], int]:
    """Whole JSON values of a torn list, or of values written one after the other; and the line where it breaks off."""
    decoder = json.JSONDecoder()
    at, values = 0, list[Any]()
    inside = text.lstrip().startswith("[")
    if inside:
        at = text.index("[") + 1
    while at < len(text):
        while at < len(text) and text[at] in " \t\r\n,":
            at += 1
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            break
        values.append(value)
    return values, text.count("\n", 0, at) + 1


def _parses(line: bytes) -> bool:
    try:
        return isinstance(orjson.loads(line.removeprefix(b"data:")), (dict, list))
    except orjson.JSONDecodeError:
        return False


def _any_line_parses(head: bytes) -> bool:
    """Whether some line is a JSON object or list by itself: then a broken first line is one bad line among lines."""
    return any(_parses(line) for line in head.split(b"\n")[1:50] if line[:1] in (b"{", b"["))
