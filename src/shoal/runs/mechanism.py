"""The mechanism of a system as a directed graph: what leads to what, in the paper's own terms."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from shoal.errors import InputError

_ARROW = re.compile(r"\s+-(?:\((.+?)\)-)?>\s+")


@dataclass(frozen=True, slots=True)
class Flow:
    """One edge of a mechanism.

    Attributes:
        source: name of the node that it leaves; nodes of the same name are one node.
        target: name of the node that it enters.
        label: what is passed on or when, where the two names do not say it.
    """

    source: str
    target: str
    label: str = ""

    def __str__(self) -> str:
        return f"{self.source} -({self.label})-> {self.target}" if self.label else f"{self.source} -> {self.target}"


def flows(*chains: str) -> tuple[Flow, ...]:
    """Edges written as chains of arrows: ``"question -> agents -(alone)-> answers"``.

    Loops close by naming an earlier node again. The first node named is drawn first.

    Raises:
        InputError: a chain has fewer than two nodes, or one without a name.
    """
    return tuple(flow for chain in chains for flow in _chain(chain))


def _chain(chain: str) -> list[Flow]:
    parts = [part or "" for part in _ARROW.split(chain.strip())]
    names, labels = parts[::2], parts[1::2]
    if not labels or any(not name.strip() or "->" in name for name in names):
        raise InputError("mechanism", chain, 'Write "a -> b -> c", with "a -(label)-> b" for a labelled edge.')
    return [Flow(*edge) for edge in zip(names, names[1:], labels, strict=False)]


def nodes(mechanism: Sequence[Flow]) -> list[str]:
    """Names of the nodes, in the order in which they are first named."""
    return list(dict.fromkeys(name for flow in mechanism for name in (flow.source, flow.target)))


def in_words(mechanism: Sequence[Flow]) -> str:
    """The edges as one sentence, for those who hear the picture."""
    said = (f"{f.source} to {f.target}" + (f" ({f.label})" if f.label else "") for f in mechanism)
    return "; ".join(said) + "."
