"""The event log that every engine writes: schema, writer, reader, comparison."""

from shoal.traces.comparison import Divergence, divergence_by_agent, first_divergence
from shoal.traces.events import SCHEMA_VERSION, Event, Usage
from shoal.traces.reader import Trace, parse_event, read_trace, write_parquet
from shoal.traces.writer import TraceWriter

__all__ = [
    "SCHEMA_VERSION",
    "Divergence",
    "Event",
    "Trace",
    "TraceWriter",
    "Usage",
    "divergence_by_agent",
    "first_divergence",
    "parse_event",
    "read_trace",
    "write_parquet",
]
