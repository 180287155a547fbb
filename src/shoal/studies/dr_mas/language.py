"""Language models in the two orchestrations: how often each agent is called, what it meets, and SmolLM2 trained.

Nothing is learned in the first part: rollouts of the untrained team, in groups of one problem, tell what the advantages
would be. The second trains SmolLM2-135M as solver and verifier, with weights of their own and with one policy for both.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.models.causal.pulled import lacking_pulled
from shoal.models.interface import Completion, Model, Request
from shoal.models.wrapper import ModelWrapper
from shoal.runs.budget import Budget
from shoal.runs.results import Results
from shoal.runs.study import Trial
from shoal.stats import Check, mean
from shoal.tasks.catalogue import open_task
from shoal.tasks.problem import Problem, answer_key
from shoal.teams.catalogue import open_team

if TYPE_CHECKING:
    from shoal.posttrain.method import Batch
    from shoal.studies.dr_mas import DrMasConfig
    from shoal.teams.catalogue import TeamPlan

SMOLLM2 = "local:smollm2"
ORCHESTRATIONS = {"solve-check": "choose", "search-loop": "facts:hops=1"}
"""The two orchestrations, and the task that each works on untrained."""
NAMES = {"solve-check": ("solver", "verifier"), "search-loop": ("verifier", "search", "answer")}
APART, TOGETHER = "SmolLM2, own weights", "SmolLM2, shared weights"
HEAT = 0.7
"""Sampling temperature."""


def no_smollm2(config: DrMasConfig) -> str | None:
    """Why SmolLM2 cannot be trained here, or with this size."""
    return lacking_pulled("smollm2") if config.smollm2_updates > 1 else "the quick size leaves SmolLM2 out"


class Counted(ModelWrapper):
    """A model that counts how often each agent asks it."""

    def __init__(self, model: Model) -> None:
        super().__init__(model, "")
        self.identity, self.calls = model.identity, Counter[str]()

    async def complete(self, request: Request) -> Completion:
        """What the model answers."""
        self.calls[request.agent] += 1
        return await self.model.complete(request)


async def orchestrations(trial: Trial[DrMasConfig]) -> dict[str, float]:
    """One orchestration on the run's model: calls of each agent in a rollout, rewards, and would-be factors."""
    from shoal.posttrain.advantages import second_moment_factor

    c, plan = trial.config, open_team(trial.variant)
    problems = open_task(ORCHESTRATIONS[trial.variant]).problems(c.language_problems, trial.derive("problems"))
    model = trial.need_model(answer_key(problems))
    jobs = [(p, sample) for p in problems for sample in range(c.language_group)]
    done = await asyncio.gather(*(_rollout(trial, plan, model, p, sample) for p, sample in jobs))
    rows = [(p.question.id, i, name, r) for i, ((p, _), (r, calls)) in enumerate(zip(jobs, done, strict=True))
            for name, times in calls.items() for _ in range(times)]  # fmt: skip
    task, trajectory, agent, reward = (list(column) for column in zip(*rows, strict=True))
    factors = second_moment_factor(reward, task=task, trajectory=trajectory, agent=agent, mode="global")
    found = {"reward": float(np.mean([r for r, _ in done]))}
    for seat, name in zip(plan.agents, NAMES[trial.variant], strict=True):
        times = [calls[seat.name] for _, calls in done]
        found[f"{name}: calls"] = float(np.mean(times))
        met = [r for (r, _), n in zip(done, times, strict=True) for _ in range(n)]
        if met:
            found[f"{name}: mean reward"] = float(np.mean(met))
            found[f"{name}: largest factor"] = float(factors[seat.name].max())
    found["largest factor"] = max(float(x.max()) for x in factors.values())
    return found


async def _rollout(
    trial: Trial[DrMasConfig], plan: TeamPlan, model: Model, problem: Problem, sample: int
) -> tuple[float, Counter[str]]:
    """Reward, and calls of each agent."""
    from shoal.teams.evaluation import answer_one
    from shoal.teams.session import Session

    counted = Counted(model)
    session = Session(
        model=counted, question=problem.question, trace=trial.trace, budget=Budget(None),
        seed=trial.derive("rollout", problem.question.id, sample), temperature=HEAT, max_tokens=24,
    )  # fmt: skip
    answered = await answer_one(plan.run, plan.agents, problem, session, trial.variant)
    return float(answered.correct), counted.calls


def smollm2(trial: Trial[DrMasConfig]) -> dict[str, Any]:
    """Solver and verifier, an adapter each or one for both: gradients, factors and calls along the training."""
    import torch

    from shoal.models.causal.network import load_base
    from shoal.posttrain.method import METHODS
    from shoal.posttrain.policies import Lora, make_policies, share
    from shoal.posttrain.trainer import Trainer

    c, plan = trial.config, open_team("solve-check")
    torch.set_num_threads(1)
    names = [agent.name for agent in plan.agents]
    policies = make_policies(names, *load_base(SMOLLM2), Lora(rank=8), trial.derive("adapters") % 2**31)
    if trial.variant == TOGETHER:
        policies = share(policies, dict.fromkeys(names, "all"))
    method = METHODS.get("dr-mas")(
        problems=4, group=c.team_group, learning_rate=c.smollm2_rate, max_tokens=16, temperature=HEAT, penalty=0.1
    )
    trainer = Trainer(plan.run, plan.agents, policies, method, open_task("choose"), trial.derive("training") % 2**31)
    batches: list[Batch] = []

    def watched(batch: Batch, rng: np.random.Generator) -> dict[str, float]:
        batches.append(batch)
        return {}

    method.after = watched  # type: ignore[method-assign]
    trainer.train(c.smollm2_updates)
    return {**_agents(batches, names), "course": [row["reward"] for row in trainer.history], **_norms(trainer.history)}


def _agents(batches: Sequence[Batch], names: Sequence[str]) -> dict[str, float]:
    """Calls of each agent in a rollout and its largest factor under both baselines, over all updates."""
    from shoal.posttrain.advantages import second_moment_factor

    found: dict[str, float] = {}
    for seat, name in zip(names, NAMES["solve-check"], strict=True):
        found[f"{name}: calls"] = float(
            sum(b.agents.count(seat) for b in batches) / sum(len(b.rollouts) for b in batches)
        )
        for mode in ("global", "agent"):
            largest = [
                float(f[seat].max())
                for b in batches
                if seat in (f := second_moment_factor(
                    b.rewards, task=b.tasks, trajectory=b.trajectories, agent=b.agents, mode=mode
                ))
            ]  # fmt: skip
            found[f"{name}: largest factor, {mode}"] = max(largest, default=0.0)
    found["largest factor, agent"] = max(found[f"{n}: largest factor, agent"] for n in NAMES["solve-check"])
    return found


def _norms(history: Sequence[dict[str, float]]) -> dict[str, float]:
    """Mean gradient norm of each policy before clipping."""
    named = sorted({key for row in history for key in row if key.endswith(" grad_norm")})
    return {f"{key}, mean": float(np.mean([row[key] for row in history if key in row])) for key in named}


def uneven(results: Results) -> list[Check]:
    """Some agent's would-be factor under the common baseline is far from 1."""
    found = []
    for variant in ORCHESTRATIONS:
        largest = results.values("orchestrations", variant, "largest factor")
        if largest.size:
            found.append(Check(f"{variant}: largest would-be factor", mean(largest), above=1.05))
    return found


def bounded(results: Results) -> list[Check]:
    """Trained under its own baseline no agent's factor is above 1."""
    found = []
    for variant in (APART, TOGETHER):
        largest = results.values("smollm2", variant, "largest factor, agent")
        if largest.size:
            found.append(Check(f"{variant}: largest factor", mean(largest), below=1.0 + 1e-6))
    return found
