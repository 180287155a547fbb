"""Who sits where at an evaluation: learned policies, frozen older ones, rules, chance and language models, in any mix.

.. code-block:: python

    mix = open_seats("learned,learned,random", policy)
    played = evaluate_seats(mix, policy.world, episodes=128, key=0)

A seat is written as ``learned`` (the policy that is evaluated), ``random``, ``scripted:NAME`` (a rule, or an action's
name), the path of a checkpoint (``PATH#SEED`` for one of its seeds), or the spec of a language model
(``local:smollm2``, ``http://...``, ``scripted:competence=0.8``). ``SEAT*3`` are three such seats. One seat alone
stands for all agents.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from shoal.errors import InputError, UnknownName
from shoal.marl.evaluation import Episodes, Seat, evaluate, seat
from shoal.marl.language import ModelSeat, play
from shoal.marl.players import RandomPlayer
from shoal.marl.policies import Policy, load
from shoal.marl.rules import rule_player
from shoal.models.opening import SCHEMES
from shoal.models.source import SharedModel
from shoal.worlds import World

AnySeat = Seat | ModelSeat

_SETTING = re.compile(r"^[a-z_]+=")
_REPEAT = re.compile(r"^(?P<seat>.+)\*(?P<count>\d+)$")


@dataclass(frozen=True)
class Mix:
    """Seats of a world.

    Attributes:
        names: what sits in each agent's place, as it was written.
        seats: who sits there, in the order of ``world.agents``.
        learned: the policy that is evaluated; scripted language models know what it would do in their place.
    """

    names: tuple[str, ...]
    seats: tuple[AnySeat, ...]
    learned: Policy

    @property
    def models(self) -> dict[int, ModelSeat]:
        """Seats of language models, by number of the agent."""
        return {i: s for i, s in enumerate(self.seats) if isinstance(s, ModelSeat)}

    @property
    def spent(self) -> dict[str, dict[str, Any]]:
        """What each language model was asked and cost, by its spec."""
        return {
            s.source.spec: {"asked": s.asked, "failures": dict(s.failures), **s.usage.as_dict()}
            for s in self.models.values()
        }


def open_seats(text: str | Sequence[str], policy: Policy, temperature: float = 0.0, calls: Path | None = None) -> Mix:
    """The seats of a spec; see the module's header for the form.

    Args:
        text: seats with commas between them, or a list of them: one for all agents, or one for each.
        policy: what ``learned`` means, and whose world it is.
        temperature: of language models; 0 is greedy.
        calls: file of the call cache of language models; None keeps no replies.

    Raises:
        InputError, UnknownName: not one seat for each agent, an unknown rule or model, or a checkpoint that cannot be
            used in this world.
    """
    parts = split_seats(text) if isinstance(text, str) else list(text)
    count = policy.world.agent_count
    names = tuple(parts * count if len(parts) == 1 else parts)
    if len(names) != count:
        raise InputError("seats", ",".join(parts), f"Give one seat for all, or one for each of the {count} agents.")
    opened = {name: _open(name, policy, temperature, calls) for name in dict.fromkeys(names)}
    return Mix(names, tuple(opened[name] for name in names), policy)


def split_seats(text: str) -> list[str]:
    """``a,b*2,scripted:x=1,y=2`` as a, b, b, scripted:x=1,y=2."""
    parts: list[str] = []
    for part in text.split(","):
        if _SETTING.match(part) and parts:  # settings of a model hold commas too
            parts[-1] += f",{part}"
        else:
            parts.append(part.strip())
    seats: list[str] = []
    for part in parts:
        repeat = _REPEAT.match(part)
        seats += [repeat["seat"]] * int(repeat["count"]) if repeat else [part]
    return [s for s in seats if s]


def load_policy(spec: str, world: World[Any] | None = None) -> Policy:
    """The policy of ``PATH`` or ``PATH#SEED``. Raises InputError."""
    path, mark, number = spec.rpartition("#")
    if mark and not Path(spec).exists():
        if not number.isdigit():
            raise InputError("checkpoint", spec, "Write PATH, or PATH#SEED with the number of a trained seed.")
        return load(path, world, int(number))
    return load(spec, world)


def evaluate_seats(
    mix: Mix,
    world: World[Any],
    episodes: int,
    key: PRNGKeyArray | int = 0,
    greedy: bool = False,
    watch: Callable[[Any], None] | None = None,
) -> Episodes:
    """Play whole episodes with these seats; the same key gives the same starts for every mix.

    Args:
        mix: who sits where.
        world: where to play.
        episodes: how many; language models are asked in all of them at once.
        key: randomness, or a seed number.
        greedy: players take their best action instead of sampling.
        watch: called with every state of the first episode; that is slower, as nothing is compiled into one loop.

    Raises:
        InputError: fewer than 1 episode.
    """
    if episodes < 1:
        raise InputError("episodes", episodes, "Play at least 1.")
    key = jax.random.key(key) if isinstance(key, int) else key
    chance = RandomPlayer(world.action_range)
    seats = [chance if isinstance(s, ModelSeat) else s for s in mix.seats]
    alone = all(s is seats[0] for s in seats)
    base = seat(seats[0] if alone else seats, world)
    if not mix.models and watch is None:
        return evaluate(base, world, episodes, key, greedy)
    knowing = mix.learned.player if any(s.scripted for s in mix.models.values()) else None
    return play(base, mix.models, world, episodes, key, greedy, knowing, watch)


def _open(name: str, policy: Policy, temperature: float, calls: Path | None) -> AnySeat:
    scheme, _, rest = name.partition(":")
    if name == "learned":
        return policy
    if name == "random":
        return RandomPlayer(policy.world.action_range)
    if scheme == "scripted" and "=" not in rest:
        return rule_player(rest, policy.world)
    if scheme in SCHEMES or scheme == "https":
        source = SharedModel(name, calls)
        if reason := source.unready():
            raise InputError("seats", name, reason)
        return ModelSeat(source, temperature)
    if not Path(name.partition("#")[0]).exists():
        raise UnknownName("seat", name, ["learned", "random", "scripted:NAME", "PATH", *(f"{s}:..." for s in SCHEMES)])
    return load_policy(name, policy.world)
