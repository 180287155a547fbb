"""Language models in seats of a world: they read its text face and name an action.

The world is stepped for all episodes at once; in every step all language-model seats of all running episodes are asked
together, and everybody else acts in compiled code. A reply that names no legal action is counted, and a legal action is
drawn in its place, so that an episode never waits for a model that cannot answer.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import NDArray

from shoal.errors import ModelError
from shoal.marl.evaluation import Episodes
from shoal.marl.players import Player, view
from shoal.models.interface import ChatMessage, Request
from shoal.models.source import SharedModel
from shoal.models.structured import json_objects
from shoal.runs.seeds import derive
from shoal.tasks.problem import Problem, Question
from shoal.traces import Usage
from shoal.worlds import World

SYSTEM = "You are one of the agents in a world. You read what your agent observes and choose its next action."
LONGEST_REPLY = 48
"""Tokens; a constrained reply of one action fits in."""


@dataclass(eq=False)
class ModelSeat:
    """A seat that a language model fills.

    Attributes:
        source: the model, with its call cache if any.
        temperature: of its replies; 0 is greedy.
        usage: spent in this seat so far.
        asked: actions it was asked for.
        failures: replies without a legal action ("no action") and failed calls, by kind.
    """

    source: SharedModel
    temperature: float = 0.0
    usage: Usage = field(default_factory=Usage)
    asked: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def scripted(self) -> bool:
        """A scripted model knows the reference's action, and takes it as often as it is competent."""
        return self.source.scheme == "scripted"


@dataclass(frozen=True)
class _Turn:
    """One agent of one episode that is to be asked."""

    agent: int
    episode: int
    question: Question
    known: str
    schema: Mapping[str, Any]
    seed: int


def play(
    base: Player,
    models: Mapping[int, ModelSeat],
    world: World[Any],
    episodes: int,
    key: PRNGKeyArray,
    greedy: bool = False,
    reference: Player | None = None,
    watch: Callable[[Any], None] | None = None,
) -> Episodes:
    """Whole episodes with language models in some seats; starts and chances are those of ``evaluate`` with that key.

    Args:
        base: acts in all other seats, and says what is done where a model's reply has no legal action.
        models: by number of the agent; may be empty.
        world: where.
        episodes: side by side.
        key: randomness.
        greedy: players take their best action.
        reference: what scripted models know; without it they know nothing.
        watch: called with every state of the first episode (a single world, numpy arrays).
    """
    work = _closing(_stepped(base, models, world, episodes, key, greedy, reference, watch), models)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as other:  # a notebook has a loop of its own
        return other.submit(asyncio.run, work).result()


async def _closing(work: Coroutine[Any, Any, Episodes], models: Mapping[int, ModelSeat]) -> Episodes:
    """What the work gives; connections belong to the loop that ends with it."""
    try:
        return await work
    finally:
        for model in models.values():
            await model.source.aclose()


async def _stepped(
    base: Player,
    models: Mapping[int, ModelSeat],
    world: World[Any],
    episodes: int,
    key: PRNGKeyArray,
    greedy: bool,
    reference: Player | None,
    watch: Callable[[Any], None] | None,
) -> Episodes:
    batch = (1, episodes)
    _, part = jax.random.split(key)
    reset_key, key = jax.random.split(part)
    state, timestep = world.reset(reset_key, batch)
    players = (base, reference if reference is not None else base)
    memories = tuple(p.start(world.agent_count, batch) for p in players)
    running = np.ones(episodes, bool)
    sums = (
        np.zeros((world.agent_count, episodes)),
        np.zeros(episodes),
        {n: np.zeros(episodes) for n in timestep.metrics},
    )
    time = 0
    while running.any():
        act_key, step_key = jax.random.split(jax.random.fold_in(key, time))
        fresh = jnp.full(batch, time == 0)
        (action, known), memories = _ACT(players, world, act_key, state, timestep, fresh, memories, greedy)
        if watch is not None and running[0]:
            watch(_single(state, 0))
        if models:
            chosen = np.array(action)
            await ask(models, world, state, timestep, running, np.asarray(known), chosen, time, key)
            action = jnp.asarray(chosen)
        state, timestep = _STEP(world, step_key, state, action)
        returns, lengths, metrics = sums
        returns += np.where(running, np.asarray(timestep.reward)[:, 0], 0.0)
        lengths += running
        for name, values in metrics.items():
            values[running] = np.asarray(timestep.metrics[name], np.float64)[0][running]
        was_first = running[0]
        running = running & ~np.asarray(timestep.done)[0]
        if watch is not None and was_first and not running[0]:
            watch(_single(state, 0))
        time += 1
    return Episodes(sums[0].T, sums[1], sums[2])


def _act(
    players: tuple[Player, ...],
    world: World[Any],
    key: Any,
    state: Any,
    timestep: Any,
    fresh: Any,
    memories: tuple[Any, ...],
    greedy: bool,
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """What each player decides for all agents; all from the same key, which is that of ``evaluate``."""
    seen = view(world, state, timestep, fresh)
    one = jax.random.split(key, 1)[0]
    decided = [p.act(one, seen, m, greedy) for p, m in zip(players, memories, strict=True)]
    return tuple(a for a, _ in decided), tuple(m for _, m in decided)


_ACT = jax.jit(_act, static_argnums=(1, 7))
_STEP = jax.jit(lambda world, key, state, action: world.step(key, state, action), static_argnums=0)


def _single(state: Any, episode: int) -> Any:
    """The state of one episode, as numpy arrays."""
    return jax.tree.map(lambda x: np.asarray(x)[..., 0, episode], state)


async def ask(
    models: Mapping[int, ModelSeat],
    world: World[Any],
    state: Any,
    timestep: Any,
    running: NDArray[np.bool_],
    known: NDArray[Any],
    chosen: NDArray[Any],
    time: int,
    key: PRNGKeyArray,
) -> None:
    """Ask all models that have a choice, and put what they chose in place.

    Args:
        models: by number of the agent.
        world: where.
        state: of the episodes, [..., 1, episodes].
        timestep: of the episodes.
        running: which are not over [episodes].
        known: what scripted models know to be right [agents, ..., 1, episodes].
        chosen: actions, changed in place [agents, ..., 1, episodes].
        time: step.
        key: of the episodes; models' seeds come from it.
    """
    alive, legal = np.asarray(timestep.alive)[:, 0], np.asarray(timestep.legal)[:, :, 0]
    host = jax.tree.map(np.asarray, state)
    root = int(jax.random.bits(key))
    turns: dict[ModelSeat, list[_Turn]] = {}
    for episode in np.flatnonzero(running).tolist():
        single = jax.tree.map(lambda x, e=episode: x[..., 0, e], host)
        for agent, model in models.items():
            allowed = np.flatnonzero(legal[agent, :, episode])
            if not alive[agent, episode] or (not world.continuous and allowed.size < 2):
                continue
            name = f"{world.name}/{world.agents[agent]}/{episode}/{time}"
            labels = () if world.continuous else tuple(world.actions[agent][i] for i in allowed)
            question = Question(name, world.describe(single, agent), "choice", labels)
            known_action = "" if world.continuous else world.actions[agent][int(known[agent, 0, episode])]
            schema = _numbers_schema(world, agent) if world.continuous else _choice_schema(labels)
            seed = derive(root, name) % 2**31
            turns.setdefault(model, []).append(_Turn(agent, episode, question, known_action, schema, seed))
    for model, asked in turns.items():
        key_of = {t.question.id: Problem(t.question, t.known) for t in asked} if model.scripted else None
        source = model.source.open(key_of, root)
        texts = await asyncio.gather(*(_reply(source, model, world, turn) for turn in asked))
        for turn, text in zip(asked, texts, strict=True):
            model.asked += 1
            value = None if text is None else _read(text, world, turn)
            if value is not None:
                chosen[(turn.agent, ..., 0, turn.episode)] = value
            elif text is not None:
                model.failures["no action"] += 1


async def _reply(source: Any, seat: ModelSeat, world: World[Any], turn: _Turn) -> str | None:
    """The model's text; None if the call failed."""
    what = "your values as" if world.continuous else "one of the actions as"
    form = (
        ", ".join(f'"{name}": NUMBER' for name in world.actions[turn.agent]) if world.continuous else '"action": NAME'
    )
    messages: list[ChatMessage] = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": f"{turn.question.text}\nReply with {what} JSON: {{{form}}}"},
    ]
    request = Request(
        messages,
        max_tokens=LONGEST_REPLY,
        temperature=seat.temperature,
        seed=turn.seed,
        schema=turn.schema,
        question=turn.question.id,
        agent=world.agents[turn.agent],
    )
    try:
        completion = await source.complete(request)
    except ModelError as error:
        seat.failures[error.kind] += 1
        return None
    seat.usage.add(completion.usage)
    return str(completion.text)


def _choice_schema(labels: tuple[str, ...]) -> dict[str, Any]:
    return {
        "title": "move",
        "type": "object",
        "properties": {"action": {"type": "string", "enum": list(labels)}},
        "required": ["action"],
        "additionalProperties": False,
    }


def _numbers_schema(world: World[Any], agent: int) -> dict[str, Any]:
    names = world.actions[agent]
    return {
        "title": "move",
        "type": "object",
        "properties": {name: {"type": "number"} for name in names},
        "required": list(names),
        "additionalProperties": False,
    }


def _read(text: str, world: World[Any], turn: _Turn) -> Any:
    """The action in a reply, as the world takes it; None if there is no legal one.

    JSON is looked for first; a reply that is nothing but an action's name also counts.
    """
    names = world.actions[turn.agent]
    for found in json_objects(text):
        if world.continuous:
            values = [found.get(name) for name in names]
            fits = [
                isinstance(v, int | float) and not isinstance(v, bool) and low <= v <= high
                for v, (low, high) in zip(values, world.action_range, strict=True)
            ]
            if all(fits):
                return np.asarray(values, np.float32)
        elif found.get("action") in turn.question.options:
            return names.index(str(found["action"]))
    bare = text.strip().strip("\"'`.*").strip()
    return names.index(bare) if not world.continuous and bare in turn.question.options else None
