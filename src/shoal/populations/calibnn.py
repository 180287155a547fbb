"""CalibNN: a network that reads the streams and puts out a model's parameters, week by week.

After GradABM (Chopra et al. 2022, arXiv 2207.09714) and Large Population Models (arXiv 2507.09901), step B.4.

Encoder: two bidirectional GRU layers over the weeks' features, attention among the weeks, their mean joined with what
is known of the region. Decoder: a GRU over normalised week indices, beyond the data if wanted, that attends to the
encoder. Head: 32, 16, one number for each parameter; theta = low + (high - low) sigmoid. A parameter of one number for
the whole run gets the mean over the weeks, before the sigmoid.

It is a parametrisation like any other: what moves are the network's weights, by the same search and for the same loss.
Here features are weekly means of every stream, signals (mobility) included, standardised (counts as log(1 + x)).
Adam starts at 0.01 and not at the released 0.0001 with 100 passes or more: budgets here are some 100 runs.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import ArrayLike, NDArray

from shoal.errors import InputError
from shoal.populations.model import Parameters, PopulationModel
from shoal.populations.parametrisation import FreeParameters, Given, parametrisation
from shoal.populations.streams import SIGNALS, Streams, streams

HIDDEN, HEAD = 64, (32, 16)
WEEK, AHEAD = 7, 4
"""Days of a week, and weeks that are put out beyond the data."""
RATE = 0.01
QUIET = 0.3
"""The last layer starts that much smaller: a search starts near the middle of all ranges."""


class Recurrence(eqx.Module):
    """A GRU run over a sequence in both directions.

    Attributes:
        onward: from the first row to the last.
        back: from the last to the first.
    """

    onward: eqx.nn.GRUCell
    back: eqx.nn.GRUCell

    def __init__(self, size: int, hidden: int, key: PRNGKeyArray) -> None:
        a, b = jax.random.split(key)
        self.onward, self.back = (eqx.nn.GRUCell(size, hidden, key=k) for k in (a, b))

    def __call__(self, rows: Float[Array, "steps size"]) -> Float[Array, "steps twice_hidden"]:
        """Both directions side by side."""
        return jnp.concatenate([_run(self.onward, rows), _run(self.back, rows, reverse=True)], axis=-1)


class Encoder(eqx.Module):
    """Features to one row for each step, and a summary.

    Attributes:
        layers: recurrences, one on the other.
        query: of the attention among steps; ``key`` and ``value`` likewise.
        summary: of the mean row and what is known of the region.
    """

    layers: tuple[Recurrence, ...]
    query: eqx.nn.Linear
    key: eqx.nn.Linear
    value: eqx.nn.Linear
    summary: eqx.nn.Linear

    def __init__(self, features: int, region: int, hidden: int, key: PRNGKeyArray) -> None:
        a, b, c, d, e, f = jax.random.split(key, 6)
        self.layers = (Recurrence(features, hidden, a), Recurrence(2 * hidden, hidden, b))
        self.query, self.key, self.value = (eqx.nn.Linear(2 * hidden, hidden, key=k) for k in (c, d, e))
        self.summary = eqx.nn.Linear(hidden + region, hidden, key=f)

    def __call__(self, rows: Float[Array, "steps features"], region: Float[Array, " known"]) -> tuple[Array, Array]:
        """Rows [steps, hidden] and the summary [hidden]."""
        for layer in self.layers:
            rows = layer(rows)
        rows = _attend(jax.vmap(self.query)(rows), jax.vmap(self.key)(rows), jax.vmap(self.value)(rows))
        return rows, jnp.tanh(self.summary(jnp.concatenate([rows.mean(0), region])))


class Network(eqx.Module):
    """Encoder, decoder and head.

    Attributes:
        encoder: of the streams.
        index: of a week, into the decoder.
        decoder: over weeks.
        head: layers of the head.
    """

    encoder: Encoder
    index: eqx.nn.Linear
    decoder: eqx.nn.GRUCell
    head: tuple[eqx.nn.Linear, ...]

    def __init__(self, features: int, region: int, outputs: int, hidden: int, key: PRNGKeyArray) -> None:
        a, b, c, *rest = jax.random.split(key, 3 + len(HEAD) + 1)
        self.encoder = Encoder(features, region, hidden, a)
        self.index = eqx.nn.Linear(1, hidden, key=b)
        self.decoder = eqx.nn.GRUCell(hidden, hidden, key=c)
        sizes = (2 * hidden, *HEAD, outputs)
        self.head = tuple(eqx.nn.Linear(m, n, key=k) for m, n, k in zip(sizes[:-1], sizes[1:], rest, strict=True))

    def __call__(self, rows: Array, region: Array, weeks: int) -> Float[Array, "weeks outputs"]:
        """Unbounded numbers for every week."""
        rows, summary = self.encoder(rows, region)
        indices = jnp.linspace(0.0, 1.0, weeks)[:, None]
        states = _run(self.decoder, jax.vmap(self.index)(indices), start=summary)
        out = jnp.concatenate([states, _attend(states, rows, rows)], axis=-1)
        for layer in self.head[:-1]:
            out = jax.nn.relu(jax.vmap(layer)(out))
        return jax.vmap(self.head[-1])(out)


@dataclass(frozen=True)
class CalibNN:
    """The parametrisation; weights are a Network.

    Attributes:
        ranges: of the parameters; those with periods get a value for each week.
        features: of each week [weeks of data, features].
        region: what else is known of the place, the same for all weeks.
        hidden: width.
        rate: Adam's first step, in weights.
    """

    ranges: FreeParameters
    features: tuple[tuple[float, ...], ...]
    region: tuple[float, ...] = ()
    hidden: int = HIDDEN
    rate: float = RATE

    @property
    def names(self) -> tuple[str, ...]:
        """Parameters that it gives."""
        return self.ranges.names

    def start(self, key: PRNGKeyArray) -> Network:
        """Weights that put out values near the middle of the ranges."""
        return self._made(key, QUIET)

    def draw(self, key: PRNGKeyArray) -> Network:
        """Weights at random: levels spread over the ranges, with some change from week to week."""
        network_key, level_key = jax.random.split(key)
        made = self._made(network_key, 1.0)
        level = jax.random.logistic(level_key, (len(self.names),))
        drawn: Network = eqx.tree_at(lambda net: net.head[-1].bias, made, level)
        return drawn

    def values(self, weights: Network) -> Parameters:
        """Parameters by name: rows of weeks, or single numbers."""
        rows, region = (jnp.asarray(x, jnp.float32) for x in (self.features, self.region))
        values: Parameters = _put_out(self.ranges, weights, rows, region)
        return values

    def _made(self, key: PRNGKeyArray, loudness: float) -> Network:
        made = Network(len(self.features[0]), len(self.region), len(self.names), self.hidden, key)
        last = (made.head[-1].weight * loudness, jnp.zeros(len(self.names)))
        result: Network = eqx.tree_at(lambda net: (net.head[-1].weight, net.head[-1].bias), made, last)
        return result


@functools.partial(jax.jit, static_argnums=0)
def _put_out(ranges: FreeParameters, weights: Network, rows: Array, region: Array) -> Parameters:
    out = weights(rows, region, max(free.size for _, free in ranges.free))
    parts = [
        out[: free.size, k] if free.periods else out[:, k].mean(keepdims=True)
        for k, (_, free) in enumerate(ranges.free)
    ]
    return ranges.at_shares(jax.nn.sigmoid(jnp.concatenate(parts)))


def calibnn(
    model: PopulationModel[Any, Any],
    data: Streams | Mapping[str, ArrayLike],
    parameters: Given = None,
    *,
    region: Sequence[float] = (),
    ahead: int = AHEAD,
    hidden: int = HIDDEN,
) -> CalibNN:
    """The network for a model and data.

    Args:
        model: whose parameters it puts out.
        data: streams that it reads; signals too.
        parameters: which, with their ranges; see ``parametrisation``. If none has periods, the first gets one value for
            each week of the data and ``ahead`` more (where the model takes such).
        region: what else is known of the place, as numbers.
        ahead: weeks put out beyond the data.
        hidden: width of the network.

    Raises:
        InputError, UnknownName: parameters that do not fit, or a number that is out of range.
    """
    free = parametrisation(model, parameters)
    if not isinstance(free, FreeParameters):
        raise InputError(
            "parameters of CalibNN", type(free).__name__, "Give names or ranges; the network is the function."
        )
    if ahead < 0 or hidden < 1:
        raise InputError("CalibNN ahead, hidden", (ahead, hidden), "Use 0 or more weeks and a width of 1 or more.")
    if not np.isfinite(region).all():
        raise InputError("CalibNN region", tuple(region), "Give finite numbers.")
    observed = data if isinstance(data, Streams) else streams(data)
    rows = weekly_features(observed)
    if model.weekly and not any(f.periods for _, f in free.free):
        (name, first), *others = free.free
        free = FreeParameters(((name, replace(first, periods=len(rows) + ahead)), *others))
    return CalibNN(free, tuple(map(tuple, rows.tolist())), tuple(map(float, region)), hidden)


def weekly_features(data: Streams) -> NDArray[np.float64]:
    """Weekly means of every stream [weeks, streams]: signals as they are, counts as log(1 + x), then standardised."""
    columns = []
    for name, x in data.series.items():
        weeks = np.add.reduceat(x, np.arange(0, x.size, WEEK))
        means = weeks / np.minimum(WEEK, x.size - np.arange(0, x.size, WEEK))
        level = means if name in SIGNALS else np.log1p(np.maximum(means, 0.0))
        columns.append((level - level.mean()) / (level.std() or 1.0))
    return np.stack(columns, axis=1)


def _run(cell: eqx.nn.GRUCell, rows: Array, start: Array | None = None, reverse: bool = False) -> Array:
    """Hidden states [steps, hidden] of a cell over rows."""

    def step(state: Array, row: Array) -> tuple[Array, Array]:
        state = cell(row, state)
        return state, state

    first = jnp.zeros(cell.hidden_size) if start is None else start
    states: Array = lax.scan(step, first, rows, reverse=reverse)[1]
    return states


def _attend(queries: Array, keys: Array, values: Array) -> Array:
    """Scaled dot-product attention [queries, values]."""
    weights = jax.nn.softmax(queries @ keys.T / jnp.sqrt(1.0 * keys.shape[-1]), axis=-1)
    attended: Array = weights @ values
    return attended
