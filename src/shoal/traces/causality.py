"""The causal graph of a trace: who was made from what, as sparse rows, asked in milliseconds at a million events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import UnknownName
from shoal.traces.events import Event

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Causality:
    """Ancestors and descendants of events.

    Args:
        size: number of events.
        children: position of the later event of each link [links].
        parents: position of the earlier one [links].
        ids: names of the events, for asking by name; positions are the names without it.

    Both directions are kept as compressed sparse rows; a query walks breadth first in compiled code (scipy), so it
    costs what it visits plus one pass over two arrays of ``size``. Cycles do no harm.
    """

    def __init__(
        self, size: int, children: NDArray[np.int64], parents: NDArray[np.int64], ids: Sequence[str] | None = None
    ) -> None:
        self.size = size
        self.ids = ids
        self._links = children, parents
        self._up: csr_array[Any, Any] | None = None
        self._down: csr_array[Any, Any] | None = None
        self._places: dict[str, int] | None = None

    @classmethod
    def of(cls, events: Iterable[Event]) -> Causality:
        """From events; of events that share an id the first counts, and parents that are not there are left out."""
        listed = list(events)
        places: dict[str, int] = {}
        for position, event in enumerate(listed):
            places.setdefault(event.id, position)
        pairs = [(i, places[p]) for i, event in enumerate(listed) for p in event.parents if p in places]
        links = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return cls(len(listed), links[:, 0], links[:, 1], [event.id for event in listed])

    @property
    def links(self) -> int:
        """Number of links."""
        return len(self._links[0])

    def ancestors_of(self, position: int) -> NDArray[np.int64]:
        """Positions of all events that the event was made from, over any number of links, in order."""
        if self._up is None:
            self._up = _rows(self.size, *self._links)
        return _reach(self._up, position)

    def descendants_of(self, position: int) -> NDArray[np.int64]:
        """Positions of all events that were made from the event, in order."""
        if self._down is None:
            self._down = _rows(self.size, *self._links[::-1])
        return _reach(self._down, position)

    def ancestors(self, event: str) -> list[str]:
        """Ids of all events that the event was made from. Raises UnknownName."""
        return self._named(self.ancestors_of(self.position(event)))

    def descendants(self, event: str) -> list[str]:
        """Ids of all events that were made from the event. Raises UnknownName."""
        return self._named(self.descendants_of(self.position(event)))

    def position(self, event: str) -> int:
        """Position of an event by id; the first of that name. Raises UnknownName."""
        if self._places is None:
            self._places = {}
            for place, name in enumerate(self.ids if self.ids is not None else map(str, range(self.size))):
                self._places.setdefault(name, place)
        if event not in self._places:
            near = [n for n in self._places if n.startswith(event)][:5] or list(self._places)[:5]
            raise UnknownName("event", event, near)
        return self._places[event]

    def cyclic(self) -> NDArray[np.int64]:
        """Positions of events that are among their own ancestors, in order."""
        from scipy.sparse.csgraph import connected_components

        children, parents = self._links
        own = np.unique(children[children == parents])
        if not np.any(parents > children):  # every link points back in order: no cycle is possible
            return own
        _, component = connected_components(_rows(self.size, children, parents), connection="strong")
        return np.union1d(own, np.flatnonzero(np.bincount(component)[component] > 1))

    def _named(self, positions: NDArray[np.int64]) -> list[str]:
        return [self.ids[i] if self.ids is not None else str(i) for i in positions.tolist()]


def _rows(size: int, sources: NDArray[np.int64], targets: NDArray[np.int64]) -> csr_array[Any, Any]:
    """Rows of targets by source. Weights are float64, because scipy's walks would else copy the matrix each time."""
    from scipy.sparse import coo_array

    found: csr_array[Any, Any] = coo_array((np.ones(len(sources)), (sources, targets)), shape=(size, size)).tocsr()
    return found


def _reach(rows: csr_array[Any, Any], position: int) -> NDArray[np.int64]:
    from scipy.sparse.csgraph import breadth_first_order

    visited = breadth_first_order(rows, position, directed=True, return_predecessors=False)
    return np.sort(visited[1:].astype(np.int64))
