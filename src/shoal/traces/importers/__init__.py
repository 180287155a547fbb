"""Traces of other people's systems: one module for each format, found by what a file holds, not by its name."""

from __future__ import annotations

from shoal.traces.importers.book import LABEL, Book
from shoal.traces.importers.importing import Imported, import_trace, import_traces, recognise
from shoal.traces.importers.registration import IMPORTERS, Importer, importer

__all__ = [
    "IMPORTERS",
    "LABEL",
    "Book",
    "Imported",
    "Importer",
    "import_trace",
    "import_traces",
    "importer",
    "recognise",
]
