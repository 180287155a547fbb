"""A communication trained in several seeds, with everything that one wants to know of it: one row of figures a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax

from shoal.errors import InputError
from shoal.marl.actors import PolicyPlayer
from shoal.marl.communication.ablation import INTERVENTIONS, ablate
from shoal.marl.communication.conversations import Conversation, measures, record, with_options
from shoal.marl.evaluation import evaluate_seeds
from shoal.marl.training import train
from shoal.worlds import World

RECORDED = 256
"""Episodes of a recorded conversation, at most."""


class Trained:
    """A finished training and its evaluation.

    Args:
        learner: name of a policy-gradient learner.
        world: where.
        settings: of the learner, with its ``communication``.
        steps: for each seed.
        seeds: seed numbers.
        episodes: of each evaluation, for each seed.
        key: seed of the evaluation: who is compared should get the same.

    Attributes:
        player: parameters [seeds, ...].
        rows: figures of each seed by name: ``return`` (of the team), the world's metrics, ``bits in training``, and
            what the methods add.

    Raises:
        InputError: a learner without a communication of its own.
    """

    def __init__(
        self,
        learner: str,
        world: World[Any],
        settings: Mapping[str, Any],
        steps: int,
        seeds: Sequence[int],
        episodes: int,
        key: int,
    ) -> None:
        self.training = train(learner, world, settings=settings, steps=steps, seeds=seeds, episodes=0)
        player = self.training.learner.player(self.training.state)
        if not isinstance(player, PolicyPlayer):
            raise InputError("learner", learner, "Use a policy-gradient learner such as ippo or mappo.")
        self.player: PolicyPlayer = player
        self.world, self.count, self.episodes, self.key = world, len(seeds), episodes, jax.random.key(key)
        played = evaluate_seeds(self.player, self.count, world, episodes, self.key)
        self.rows: list[dict[str, float]] = [
            {"return": float(e.team.mean()), **{name: float(x.mean()) for name, x in e.metrics.items()}} for e in played
        ]
        bits = self.training.history.get("comm_bits")
        for s, row in enumerate(self.rows):
            row["bits in training"] = 0.0 if bits is None else float(bits[-1, s])

    def ablate(self, metric: str = "return", names: Sequence[str] = ("zeroed", "shuffled", "noise")) -> None:
        """Add the metric under the named interventions in the channel."""
        found = ablate(
            self.player, self.count, self.world, self.episodes, self.key, {name: INTERVENTIONS[name] for name in names}
        )
        for name in names:
            for row, played in zip(self.rows, found[name], strict=True):
                values = played.team if metric == "return" else played.metrics[metric]
                row[f"{metric}, {name}"] = float(values.mean())

    def record(self, probe: bool = False, episodes: int = RECORDED) -> list[Conversation]:
        """Conversations of all seeds; adds their measures, or without ``probe`` only ``open`` and ``bits``."""
        talks = record(self.player, self.count, self.world, min(episodes, self.episodes), self.key, probe)
        for row, talk in zip(self.rows, talks, strict=True):
            found = measures(talk)
            row.update({name: found[name] for name in (found if probe else ("open", "bits"))})
        return talks

    def sweep(self, rows: Sequence[dict[str, float]], option: str, values: Sequence[float]) -> None:
        """Add to ``rows`` reward and messages per step and agent, under other values of an option after training."""
        spec = self.training.learner.settings.communication
        for value in values:
            player = with_options(self.training.learner, self.player, self.world, f"{spec},{option}={value:g}")
            talks = record(player, self.count, self.world, min(RECORDED, self.episodes), self.key, probe=False)
            for row, talk in zip(rows, talks, strict=True):
                row[f"return {option}={value:g}"] = float(talk.reward.mean())
                row[f"rate {option}={value:g}"] = measures(talk)["open"]
