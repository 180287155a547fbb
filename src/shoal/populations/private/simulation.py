"""A run in which agents keep their own numbers: steps as in ``rollout``, sums by a protocol, tangents passed along.

Every agent computes with its own row of the arrays alone: what it sends, what becomes of it after what it heard, and
its part of the reported figures. Where slopes are wanted, every agent also holds the tangent of its own state along
each parameter (forward mode needs no message back) and sends the tangent of its message beside the message. The same
keys draw the same numbers as in the open run; where messages are multiples of 2^-20 and their sums are exact in single
precision, the two runs are the same to the bit.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from shoal.errors import InputError, UnknownName
from shoal.populations.decentralised import DecentralisedModel, Exchange, networks
from shoal.populations.model import Parameters, PopulationModel, replaced
from shoal.populations.private.messages import MessageLog
from shoal.populations.private.sums import PROTOCOLS, GaussianNoise, Sums, revealing
from shoal.populations.rollout import run_keys
from shoal.populations.simulation import Simulation, require_memory
from shoal.runs.seeds import derive, generator

Tangents = Any
"""Of the same form as what they belong to, with a leading axis of ways; None where no slopes are wanted."""


@dataclass(frozen=True)
class PrivateRun:
    """What one run revealed.

    Attributes:
        series: totals by name [steps].
        slopes: of the totals along the numbers that were asked for [steps, numbers], by name; empty without.
        state: of all agents after the last step; no party holds it.
        revealing: share of agents and days on which a sum gave all of an agent's neighbours away, in any network.
    """

    series: dict[str, NDArray[np.float64]]
    slopes: dict[str, NDArray[np.float64]]
    state: Any = field(repr=False)
    revealing: float


@dataclass(frozen=True)
class PrivateSimulation(Simulation):
    """A simulation in shares.

    Attributes:
        log: of the messages of all runs.
        revealing: share of agents and days on which a sum gave all of an agent's neighbours away.
    """

    log: MessageLog = field(default_factory=MessageLog, repr=False)
    revealing: float = 0.0


def simulate_privately(
    model: PopulationModel[Any, Any],
    steps: int,
    seeds: int | Sequence[int] = 1,
    parameters: Mapping[str, Any] | None = None,
    *,
    protocol: str = "shares",
    servers: int = 3,
    figures: Iterable[str] | None = None,
    noise: GaussianNoise | None = None,
    watched: Iterable[int] | None = (),
    population: Any = None,
    world: int = 0,
) -> PrivateSimulation:
    """Run a model in shares; the same seeds give the same random numbers as ``simulate``.

    Args:
        model: a decentralised one (``contagion``, ``epidemic``).
        steps: how many.
        seeds: seed numbers, or how many.
        parameters: by name; defaults for the rest.
        protocol: shares (among neighbours) or servers (two or three that know who meets whom).
        servers: helper servers.
        figures: reported figures that are revealed; flows if not given.
        noise: added to revealed figures; none if not given.
        watched: parties whose received messages are kept; None for all.
        population: made before by ``model.population``.
        world: seed of the population, if it is made here.

    Raises:
        InputError, UnknownName: a model that is not decentralised, or arguments that do not fit.
    """
    local = require_decentralised(model)
    if steps < 1:
        raise InputError("steps", steps, "Simulate at least 1.")
    numbers = tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds)
    if not numbers:
        raise InputError("seeds", seeds, "Give at least one.")
    values = model.check(parameters or {})
    if population is None:
        require_memory(model)
        population = model.population(derive(world, "population") % 2**32)
    names = tuple(sorted(model.flows)) if figures is None else tuple(figures)
    log = MessageLog(watched)
    began = time.perf_counter()
    runs = []
    for seed, key in zip(numbers, run_keys(numbers), strict=True):
        sums = protocol_over(population, protocol, generator(seed, "shares"), servers, log, noise)
        runs.append(run_privately(local, steps, key, population, values, sums, names))
    return PrivateSimulation(
        model=model,
        parameters=values,
        seeds=numbers,
        series={name: np.stack([run.series[name] for run in runs]) for name in names},
        seconds=time.perf_counter() - began,
        log=log,
        revealing=float(np.mean([run.revealing for run in runs])),
    )


def protocol_of(name: str) -> type[Sums]:
    """The protocol of that name. Raises UnknownName."""
    if name not in PROTOCOLS:
        raise UnknownName("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def protocol_over(
    population: Any,
    name: str,
    rng: np.random.Generator,
    servers: int,
    log: MessageLog,
    noise: GaussianNoise | None = None,
) -> Sums:
    """The protocol of that name, to be laid over each network of the population."""
    first = next(iter(networks(population).values()))
    return protocol_of(name)(first, rng, servers, log, noise)


def require_decentralised(model: PopulationModel[Any, Any]) -> DecentralisedModel[Any, Any]:
    """The model, if its agents exchange nothing but sums. Raises InputError otherwise."""
    if not isinstance(model, DecentralisedModel):
        raise InputError(
            "private model", model.name, "Its agents need more than sums over neighbours; use contagion or epidemic."
        )
    return model


def run_privately(
    model: DecentralisedModel[Any, Any],
    steps: int,
    key: PRNGKeyArray,
    population: Any,
    parameters: Parameters,
    sums: Sums,
    figures: Sequence[str],
    ways: Tangents = None,
) -> PrivateRun:
    """One run.

    Args:
        model: whose steps are taken.
        steps: how many.
        key: of everything that chance decides in this run.
        population: as ``model.population`` made it.
        parameters: all of them, as ``model.check`` returns them.
        sums: the protocol; it is laid over each network that messages are sent over.
        figures: reported figures that are revealed.
        ways: directions in the parameters along which slopes are wanted: for each parameter [ways, ...].

    Raises:
        UnknownName: a figure that the model does not report.
    """
    begin, pieces, parts = _programs(model)
    population = model.apart(population)
    over = {name: sums.on(net) for name, net in networks(population).items()}
    begin_key, key = jax.random.split(key)
    state, moving = begin((parameters,), (ways,), begin_key, population)
    series: dict[str, list[float]] = {name: [] for name in figures}
    slopes: dict[str, list[list[float]]] = {name: [] for name in figures}
    given_away = []
    for step, day in enumerate(jax.random.split(key, steps)):
        sums.log.step = step
        before, before_moving = state, moving
        for message, rest in pieces:
            decide_key, move_key, day = jax.random.split(day, 3)
            heard, heard_moving = None, None
            if message is not None:
                sent, sent_moving = message((parameters, _real(state)), (ways, moving), state)
                heard = {name: _summed(over[name], x) for name, x in sent.items()}
                if ways is not None:
                    heard_moving = {
                        name: jnp.stack([_summed(over[name], row) for row in rows])
                        for name, rows in sent_moving.items()
                    }
                clear = [
                    revealing(net, np.asarray(sent[name])) for name, net in networks(state).items() if name in sent
                ]
                given_away.append(np.any(clear, axis=0).mean())
            arguments = (parameters, _real(state), heard), (ways, moving, heard_moving)
            state, moving = rest(*arguments, decide_key, move_key, state)
        own, own_moving = parts((_real(before), _real(state)), (before_moving, moving), before, state)
        for name in figures:
            if name not in own:
                raise UnknownName(f"figure of {model.name}", name, own)
            series[name].append(sums.total(np.asarray(own[name], np.float64)))
            if ways is not None:
                slopes[name].append([sums.total(row) for row in _slopes_of(own_moving[name], ways, own[name])])
    return PrivateRun(
        series={name: np.asarray(x, np.float64) for name, x in series.items()},
        slopes={name: np.asarray(x, np.float64) for name, x in slopes.items() if x},
        state=state,
        revealing=float(np.mean(given_away)) if given_away else 0.0,
    )


def _summed(sums: Sums, sent: Any) -> Array:
    return jnp.asarray(sums.heard(np.asarray(sent)), jnp.float32)


def _slopes_of(moving: Any, ways: Tangents, own: Any) -> NDArray[np.float64]:
    """Slopes [ways, agents] of agents' parts of a figure; counts have none."""
    if moving is None:
        return np.zeros((len(next(iter(ways.values()))), own.size))
    return np.asarray(moving, np.float64)


Program = Callable[..., tuple[Any, Tangents]]


@functools.lru_cache(maxsize=16)
def _programs(model: DecentralisedModel[Any, Any]) -> tuple[Program, list[tuple[Program | None, Program]], Program]:
    """What agents compute between sums: the start, each substep's message (if any) and rest, and their parts."""

    def begin(varied: Any, key: Any, population: Any) -> Any:
        return model.begin(key, population, varied[0])

    def message(substep: Exchange[Any]) -> Callable[..., Any]:
        return lambda varied, state: dict(substep.messages(_joined(varied[1], state), varied[0]))

    def rest(substep: Any) -> Callable[..., Any]:
        def of(varied: Any, decide_key: Any, move_key: Any, state: Any) -> Any:
            parameters, real, heard = varied
            now = _joined(real, state)
            observation = substep.observe(now, parameters) if heard is None else substep.heard(now, heard, parameters)
            decision = substep.decide(decide_key, observation, parameters)
            return replaced(now, substep.transition(move_key, now, decision, parameters))

        return of

    def parts(varied: Any, before: Any, after: Any) -> Any:
        return model.parts(_joined(varied[0], before), _joined(varied[1], after))

    pieces = [
        (_pushed(message(substep)) if isinstance(substep, Exchange) else None, _pushed(rest(substep)))
        for substep in model.substeps()
    ]
    return _pushed(begin), pieces, _pushed(parts)


def _pushed(of: Callable[..., Any]) -> Program:
    """The compiled function with, beside its value, the tangents [ways, ...] of its real outputs.

    It takes the arguments that vary, their tangents (None for none), and the others.
    """

    @jax.jit
    def both(varied: Any, moving: Any, *others: Any) -> tuple[Any, Tangents]:
        value = of(varied, *others)
        if moving[0] is None:
            return value, None

        def along(way: Any) -> Any:
            return jax.jvp(lambda x: _real(of(x, *others)), (varied,), (way,))[1]

        return value, jax.vmap(along)(moving)

    program: Program = both
    return program


def _real(state: Any) -> Any:
    return eqx.filter(state, eqx.is_inexact_array)


def _joined(real: Any, state: Any) -> Any:
    """The state with these real numbers."""
    return eqx.combine(real, eqx.filter(state, eqx.is_inexact_array, inverse=True))
