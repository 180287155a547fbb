"""Societies of scripted donors over generations: play, selection, transmission and mutation, all seeds in one program.

The protocol of "Cultural evolution of cooperation among LLM agents" (arXiv 2412.10270), with strategies that are
numbers instead of sentences: two mirrored games a generation, the better half survives unchanged, and each newcomer
takes the strategy of a survivor, changed a little, as a model would write it after reading the survivors' advice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike, NDArray

from shoal.games.compilation import quickly_compiled
from shoal.games.donor import Situation, play_societies
from shoal.games.game import require

TRAITS = ("first", "base", "a", "b", "c", "threshold", "floor", "cap", "standing", "punish")
"""A strategy. Who knows nothing of its receiver A gives ``first``. Else it gives ``base`` plus ``a``, ``b`` and ``c``
times what A, its receiver B and B's receiver C gave (``first`` where that is unknown), within ``floor`` and
``cap``. If A gave less than ``threshold`` it gives ``floor``, or spends ``punish`` on punishing, unless it goes by
``standing`` (1) and B too had given less."""
DEPTH = 3
PUNISHMENT = 2.0
"""Units taken from the punished for each unit spent."""


def strategy(**traits: float) -> NDArray[np.float64]:
    """A strategy from its traits; those left out are 0, except ``cap``, which is 1.

    Raises:
        InputError: no such trait.
    """
    for name in traits:
        require("trait", name, name in TRAITS, f"One of {', '.join(TRAITS)}.")
    return np.array([traits.get(name, float(name == "cap")) for name in TRAITS])


def defector() -> NDArray[np.float64]:
    """Gives nothing."""
    return strategy(cap=0)


def giver(share: float = 0.5) -> NDArray[np.float64]:
    """Gives that share whatever it sees."""
    return strategy(first=share, base=share)


def discriminator(share: float = 0.5, threshold: float = 0.25, *, standing: bool = False, punish: float = 0.0) -> Any:
    """Gives to those who gave at least the threshold; by standing, also to those who refused a refuser."""
    return strategy(first=share, base=share, threshold=threshold, standing=float(standing), punish=punish)


def chain_matcher(first: float = 0.5) -> NDArray[np.float64]:
    """Gives what the chain gave, the nearest donation counting most."""
    return strategy(first=first, a=0.5, b=0.3, c=0.2)


@dataclass(frozen=True)
class Evolution:
    """How societies live.

    Attributes:
        generations: how many.
        rounds: of each of the two games of a generation, an even number.
        endowment: resources at the start of a game.
        multiplier: what a unit given is worth to the receiver.
        depth: donations of the receiver's chain that a donor sees, 0 to 3.
        selection: the better half survives; otherwise a random half.
        transmission: newcomers start from a survivor's strategy; otherwise from one of the founders'.
        types: strategies that a newcomer turns to by mutation [types, traits].
        mutation: chance of that.
        bias: added to a newcomer's traits, by trait.
        width: standard deviation of the change of a newcomer's traits, by trait.
    """

    generations: int = 10
    rounds: int = 12
    endowment: float = 10.0
    multiplier: float = 2.0
    depth: int = DEPTH
    selection: bool = True
    transmission: bool = True
    types: ArrayLike = ()
    mutation: float = 0.0
    bias: tuple[tuple[str, float], ...] = ()
    width: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class SocietyHistory:
    """What became of the societies; every array is [societies, generations] and more.

    Attributes:
        resources: mean final resources of an agent.
        donation: mean share given.
        punished: share of encounters in which the donor punished.
        differential: donation of survivors less that of the others, over the mean; 0 where nobody gives.
        drift: donation of newcomers less that of survivors, from the second generation on [societies, generations - 1].
        defectors: share of agents of type 0 before selection.
        first: mean of the trait.
    """

    resources: NDArray[np.float64]
    donation: NDArray[np.float64]
    punished: NDArray[np.float64]
    differential: NDArray[np.float64]
    drift: NDArray[np.float64]
    defectors: NDArray[np.float64]
    first: NDArray[np.float64]


def evolve(founders: ArrayLike, kinds: ArrayLike, seeds: Sequence[int], rules: Evolution) -> SocietyHistory:
    """Let societies live.

    Args:
        founders: strategies of the first generation [societies, agents, traits].
        kinds: type of each founder [societies, agents]; 0 is the defector.
        seeds: one of each society: what happens in it depends on nothing else.
        rules: how they live.

    Raises:
        InputError: a value out of range.
    """
    people, tags = np.asarray(founders, np.float32), np.asarray(kinds, np.int32)
    fits = people.ndim == 3 and people.shape[2] == len(TRAITS) and people.shape[:2] == tags.shape
    require("founders", people.shape, fits, f"Give [societies, agents, {len(TRAITS)}], and a type for each agent.")
    agents = people.shape[1]
    require("agents", agents, agents >= 4 and agents % 2 == 0, "Use an even number of at least 4.")
    require("seeds", len(seeds), len(seeds) == len(people), "Give one for each society.")
    require("rounds", rules.rounds, rules.rounds >= 2 and rules.rounds % 2 == 0, "Use an even number of at least 2.")
    require("generations", rules.generations, rules.generations >= 1, "Use at least 1.")
    require("depth", rules.depth, 0 <= rules.depth <= DEPTH, f"Use 0 to {DEPTH}.")
    require("multiplier", rules.multiplier, rules.multiplier > 0, "Use more than 0.")
    require("endowment", rules.endowment, rules.endowment > 0, "Use more than 0.")
    require("mutation", rules.mutation, 0 <= rules.mutation <= 1, "Use a chance.")
    types = np.asarray(rules.types, np.float32).reshape(-1, len(TRAITS)) if np.size(rules.types) else people[0, :1]
    numbers = [rules.multiplier, rules.depth, rules.selection, rules.transmission, rules.mutation, rules.endowment]
    out = _run(
        jnp.asarray([s % 2**31 for s in seeds], jnp.uint32), people, tags, types,
        jnp.array([_by_trait(rules.bias), _by_trait(rules.width)]), jnp.array(numbers, jnp.float32),
        rules.generations, rules.rounds,
    )  # fmt: skip
    history = SocietyHistory(*(np.asarray(x, float) for x in out))
    return replace(history, drift=history.drift[:, 1:])


def donors(agents: int, rounds: int, mirrored: bool) -> NDArray[np.intp]:
    """Places in the order of meeting of those who give [rounds, agents / 2]; the first half of places is half one."""
    half = agents // 2
    rows = []
    for t in range(rounds):
        swap = (t + mirrored) % 2 == 1
        rows.append(half + (np.arange(half) + t) % half if swap else np.arange(half))
    return np.array(rows)


def _by_trait(values: tuple[tuple[str, float], ...]) -> NDArray[np.float32]:
    given = dict(values)
    for name in given:
        require("trait", name, name in TRAITS, f"One of {', '.join(TRAITS)}.")
    return np.array([given.get(name, 0.0) for name in TRAITS], np.float32)


def _share(people: Any, depth: Any, key: Any, seen: Situation) -> Any:
    """What each donor does: a share given, or less than 0 for one spent on punishing."""
    own = people[seen.donor[0]][None]
    first, base, a, b, c, threshold, floor, cap, standing, punish = jnp.moveaxis(own, -1, 0)
    known = (seen.trace > -1.5) & (jnp.arange(DEPTH) < depth)
    gave = jnp.clip(seen.trace, 0, 1)
    filled = jnp.where(known, gave, first[..., None])
    match = base + (jnp.stack([a, b, c], axis=-1) * filled).sum(axis=-1)
    low = known[..., 0] & (gave[..., 0] < threshold)
    excused = (standing > 0.5) & known[..., 1] & (gave[..., 1] < threshold)
    amount = jnp.clip(jnp.where(known[..., 0], match, first), floor, cap)
    return jnp.where(low & ~excused, jnp.where(punish > 0, -punish, floor), amount)


@quickly_compiled("generations", "rounds")
def _run(
    seeds: Any, founders: Any, kinds: Any, types: Any, change: Any, numbers: Any, generations: int, rounds: int
) -> tuple[Any, ...]:
    agents = founders.shape[1]
    half = agents // 2
    multiplier, depth, selection, transmission, mutation, endowment = numbers
    places = jnp.stack([jnp.asarray(donors(agents, rounds, m)) for m in (False, True)])

    def generation(first: Any, carry: Any, key: Any) -> tuple[Any, Any]:
        people, tags = carry
        k = jax.random.split(key, 9)
        order = jax.random.permutation(k[0], agents)
        policy = partial(_share, people, depth)
        games = [
            play_societies(
                policy, k[1 + m], societies=1, agents=agents, rounds=rounds, endowment=endowment, multiplier=multiplier,
                depth=DEPTH, mirrored=bool(m), punishment=PUNISHMENT, order=order[None],
            )
            for m in range(2)
        ]  # fmt: skip
        score = (games[0][0][0] + games[1][0][0]) / 2
        shares = jnp.stack([game[1][:, 0] for game in games])
        given = jnp.clip(shares, 0, 1)
        # Everybody gives as often as the others: half of the rounds of each game.
        gifts = jnp.zeros(agents).at[order[places]].add(given) / rounds
        luck = jax.random.uniform(k[3], (agents,))
        ranked = jnp.where(selection > 0.5, jnp.lexsort((luck, -score)), jnp.argsort(luck))
        best, others = ranked[:half], ranked[half:]
        average = gifts.mean()
        differential = jnp.where(
            average > 0, (gifts[best].mean() - gifts[others].mean()) / jnp.maximum(average, 1e-9), 0
        )
        told = (
            score.mean(), given.mean(), (shares < 0).mean(), differential, gifts[half:].mean() - gifts[:half].mean(),
            (tags == 0).mean(), people[:, 0].mean(),
        )  # fmt: skip
        parent, founder = best[jax.random.randint(k[4], (half,), 0, half)], jax.random.randint(k[5], (half,), 0, agents)
        heirs = jnp.where(transmission > 0.5, people[parent], first[0][founder])
        of = jnp.where(transmission > 0.5, tags[parent], first[1][founder])
        heirs = jnp.clip(heirs + change[0] + change[1] * jax.random.normal(k[6], heirs.shape), -1, 1)
        turned = jax.random.uniform(k[7], (half,)) < mutation
        to = jax.random.randint(k[8], (half,), 0, types.shape[0])
        heirs, of = jnp.where(turned[:, None], types[to], heirs), jnp.where(turned, to, of)
        return (jnp.concatenate([people[best], heirs]), jnp.concatenate([tags[best], of])), told

    def society(seed: Any, people: Any, tags: Any) -> Any:
        first = (people, tags)
        return jax.lax.scan(partial(generation, first), first, jax.random.split(jax.random.key(seed), generations))[1]

    return tuple(jax.vmap(society)(seeds, founders, kinds))
