"""One episode, step by step: people, players and language models in its seats, every step kept as a frame.

``evaluate`` plays thousands of episodes in a loop of its own; this plays one, and waits for whoever is slow.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.marl.actors import Actor, PolicyPlayer
from shoal.marl.communication.exchange import Exchange, Said
from shoal.marl.compilation import ONCE, usable
from shoal.marl.episodes import named
from shoal.marl.evaluation import seat
from shoal.marl.frames import Done, Frame, Recording, Talk, frame_of, numbered
from shoal.marl.language import ModelSeat, ask
from shoal.marl.players import Player, RandomPlayer, View, view
from shoal.marl.policies import Policy
from shoal.marl.seats import Mix, open_seats
from shoal.worlds import Timestep, World

PERSON = "person"
"""The seat of a person, in a list of seats."""
BATCH = (1, 1)
"""Seeds and worlds, as language models are asked."""


class LiveEpisode:
    """An episode that is being played.

    Args:
        world: where.
        mix: who sits where.
        seed: of the start and of all chance; equal ones give equal episodes if all do the same.
        greedy: players take their best action.
        people: numbers of the agents for whom ``advance`` is told what to do.

    Attributes:
        recording: what happened so far.
    """

    def __init__(
        self, world: World[Any], mix: Mix, seed: int = 0, greedy: bool = False, people: frozenset[int] = frozenset()
    ) -> None:
        self.world, self.mix, self.greedy, self.people = world, mix, greedy, people
        self._players = _players(mix, world)
        self._memories = tuple(player.start(world.agent_count, BATCH) for player in self._players)
        reset_key, self._key = jax.random.split(jax.random.key(seed))
        self._state, self._timestep = _programs()[0](world, reset_key)
        names = tuple(PERSON if i in people else name for i, name in enumerate(mix.names))
        self.recording = Recording(world, names, [frame_of(self._state, self._timestep, (0, 0))])

    @property
    def frame(self) -> Frame:
        """The present moment."""
        return self.recording.frames[-1]

    def options(self, agent: int) -> tuple[str, ...]:
        """Names of the actions that an agent may take now."""
        return tuple(name for name, can in zip(self.world.actions[agent], self.frame.legal[agent], strict=False) if can)

    def advance(self, done: Mapping[int, Done] | None = None) -> Frame:
        """One step.

        Args:
            done: what the people do, by number of their agent.

        Raises:
            InputError: the episode is over, or a person's action is missing or not legal.
        """
        if self.frame.over:
            raise InputError("episode", "over", "Begin another one.")
        told = {agent: self._checked(agent, (done or {}).get(agent)) for agent in self.people}
        time = len(self.recording.actions)
        act_key, step_key = jax.random.split(jax.random.fold_in(self._key, time))
        _, step, act = _programs()
        actions, self._memories, said = act(
            self._players, self.world, act_key, self._state, self._timestep, jnp.full(BATCH, time == 0),
            self._memories, self.greedy,
        )  # fmt: skip
        chosen = np.array(actions[0])
        self._ask_models(chosen, np.asarray(actions[-1]), time)
        for agent, value in told.items():
            chosen[agent, ..., 0, 0] = value
        self._state, self._timestep = step(self.world, step_key, self._state, jnp.asarray(chosen))
        kept = self.recording
        kept.actions.append(tuple(named(self.world, i, chosen[i, ..., 0, 0]) for i in range(self.world.agent_count)))
        kept.talk.append(_talk(said))
        kept.frames.append(frame_of(self._state, self._timestep, (0, 0)))
        return self.frame

    def finish(self, most: int | None = None) -> Recording:
        """Play on to the end, or ``most`` steps; nobody may be a person. Returns the recording."""
        while not self.frame.over and (most is None or len(self.recording.actions) < most):
            self.advance()
        return self.recording

    def _checked(self, agent: int, done: Done | None) -> int | list[float]:
        field = f"action of {self.world.agents[agent]}"
        if done is None:
            raise InputError(field, None, f"Say what it does: {', '.join(self.options(agent)[:12])}.")
        value = numbered(self.world, agent, done)
        if isinstance(value, int) and not self.frame.legal[agent][value]:
            raise InputError(field, done, f"Legal now: {', '.join(self.options(agent)[:12])}.")
        return value

    def _ask_models(self, chosen: NDArray[Any], known: NDArray[Any], time: int) -> None:
        models = {agent: s for agent, s in self.mix.models.items() if agent not in self.people}
        if models:
            asyncio.run(self._asked(models, chosen, known, time))

    async def _asked(self, models: dict[int, ModelSeat], chosen: NDArray[Any], known: NDArray[Any], time: int) -> None:
        try:
            await ask(models, self.world, self._state, self._timestep, np.ones(1, bool), known, chosen, time, self._key)
        finally:
            for model in models.values():  # connections belong to the loop that ends here
                await model.source.aclose()


def open_episode(
    world: World[Any],
    seats: list[str],
    seed: int = 0,
    greedy: bool = False,
    policy: Policy | None = None,
    calls: Any = None,
) -> LiveEpisode:
    """An episode from the names of its seats.

    Args:
        world: where.
        seats: one for all agents or one for each, as ``open_seats`` reads them; besides, ``person``.
        seed: of the start and of all chance.
        greedy: players take their best action.
        policy: what ``learned`` means; the best known one where seats are ``person``.
        calls: file of the call cache of language models; None keeps no replies.

    Raises:
        InputError, UnknownName: seats that do not fit the world.
    """
    if policy is None and "learned" in seats:
        raise InputError("seats", "learned", "Give the checkpoint of a training instead.")
    names = seats * world.agent_count if len(seats) == 1 else seats
    people = frozenset(i for i, name in enumerate(names) if name == PERSON)
    default = "random" if policy is None else "learned"
    others = [default if name == PERSON else name for name in names]
    learned = policy if policy is not None else Policy(RandomPlayer(world.action_range), world)
    return LiveEpisode(world, open_seats(others, learned, calls=calls), seed, greedy, people)


def _players(mix: Mix, world: World[Any]) -> tuple[Player, ...]:
    """Who decides for all seats, chance in the place of models; and, last, who knows what scripted models should do."""
    chance = RandomPlayer(world.action_range)
    players = [chance if isinstance(s, ModelSeat) else s for s in mix.seats]
    base = seat(players[0] if all(p is players[0] for p in players) else players, world)
    scripted = any(s.scripted for s in mix.models.values())
    return (base, mix.learned.player) if scripted else (base,)


def _said(player: Player, key: Any, seen: View, memory: Any) -> Any:
    """What a policy's agents say in this moment; () where they cannot. With the chance that ``act`` takes."""
    actor = getattr(player.model, "actor", None) if isinstance(player, PolicyPlayer) else None
    if not isinstance(player, PolicyPlayer) or not isinstance(actor, Actor) or not isinstance(actor.comm, Exchange):
        return ()
    noise = jax.random.uniform(key, (sum(player.model.rows), *seen.alive.shape))
    heard = actor.outputs(seen, memory, noise[actor.rows[0] :], execute=True)[2]
    return () if heard is None else heard.said


def _talk(said: Any) -> Talk | None:
    if not isinstance(said, Said):
        return None
    message, sent, weight = (None if isinstance(x, tuple) else np.asarray(x, float)[..., 0, 0] for x in said)
    assert message is not None
    assert sent is not None
    return Talk(message, sent, weight)


def _act(
    players: tuple[Player, ...],
    world: World[Any],
    key: Any,
    state: Any,
    timestep: Timestep,
    fresh: Any,
    memories: tuple[Any, ...],
    greedy: bool,
) -> tuple[tuple[Any, ...], tuple[Any, ...], Any]:
    """What each player decides for all agents, from the same chance, and what the first one's agents say."""
    seen = view(world, state, timestep, fresh, any(player.central for player in players))
    one = jax.random.split(key, 1)[0]
    decided = [p.act(one, seen, m, greedy) for p, m in zip(players, memories, strict=True)]
    said = _said(players[0], one, seen, memories[0])
    return tuple(a for a, _ in decided), tuple(m for _, m in decided), said


@functools.cache
def _programs() -> tuple[Any, Any, Any]:
    """Compiled: the start of an episode, a step of the world, and what the players do."""
    options = usable(tuple(ONCE.items()))
    reset = jax.jit(lambda world, key: world.reset(key, BATCH), static_argnums=0, compiler_options=options)
    step = jax.jit(lambda world, *rest: world.step(*rest), static_argnums=0, compiler_options=options)
    return reset, step, jax.jit(_act, static_argnums=(1, 7), compiler_options=options)
