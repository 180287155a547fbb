"""Teams of the run's language model: copies, personas, controls, prompt diversity and topologies on the same problems.

With the small local model all of this is prompt diversity of one model. ``several`` is the paper's real experiment:
name two or more models with ``--set models="SPEC SPEC"``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from shoal.models.interface import Model
from shoal.runs.study import Trial
from shoal.studies.agent_scaling.config import (
    COPIES,
    COPIES_MESH,
    GREEDY,
    HUB,
    MESH,
    MIXED,
    MIXED_PERSONAS,
    ONE,
    PADDED,
    PERSONAS,
    SAME_PERSONA,
    SAMPLES,
    SHOTS,
    SPARSE,
    WARMTHS,
    ByVariant,
    Config,
)
from shoal.tasks.problem import Problem
from shoal.teams import heterogeneity as teams
from shoal.teams.agent import Agent, make_agents

EXAMPLES = (
    "Example. What is 2 + 3? 2 + 3 = 5.\nAnswer: 5",
    "Example. What is 9 + 4? Nine and one is ten, and three more.\nAnswer: 13",
    "Example. What is 6 + 6? Twice six.\nAnswer: 12",
    "Example. What is 8 + 7? Eight, nine, ten, ... fifteen.\nAnswer: 15",
)
"""Worked examples in four styles; all arms with examples get one of them."""
COOL, WARM = 0.2, 1.0
"""Coldest and warmest agent of the team with unequal temperatures."""

Arm = tuple[Sequence[Agent], teams.Topology, float | None]


async def live(trial: Trial[Config]) -> ByVariant:
    """All arms on the same problems: accuracy, K*, ties, tokens and unreadable answers."""
    from shoal.tasks.catalogue import open_task
    from shoal.tasks.problem import answer_key

    config = trial.config
    problems = open_task(config.task).problems(config.team_questions, trial.derive("problems"))
    model = trial.need_model(answer_key(problems))
    return await played(trial, problems, model, arms(config, model))


async def several(trial: Trial[Config]) -> ByVariant:
    """Copies of the run's model against teams of the models that are named in the settings."""
    from shoal.models.opening import open_model
    from shoal.tasks.catalogue import open_task
    from shoal.tasks.problem import answer_key

    config = trial.config
    problems = open_task(config.task).problems(config.team_questions, trial.derive("problems"))
    key = answer_key(problems)
    opened = [open_model(spec, answer_key=key, seed=trial.derive("model", i)) for i, spec in enumerate(_specs(config))]
    plain = make_agents(config.agents)
    try:
        found: dict[str, Arm] = {
            f"copies of model {i + 1}": (teams.mixed(plain, [model]), "vote", None)
            for i, model in enumerate(opened[:2])
        }
        found[MIXED] = (teams.mixed(plain, opened), "vote", None)
        found[MIXED_PERSONAS] = (teams.mixed(teams.personas(config.agents), opened), "vote", None)
        return await played(trial, problems, trial.need_model(key), found)
    finally:
        await asyncio.gather(*(model.aclose() for model in opened))


def too_few_models(config: Config) -> str | None:
    """Why the experiment with several models cannot run, if it cannot."""
    if len(_specs(config)) > 1:
        return None
    return 'name two or more models: --set models="openai:NAME http://host:port/v1#NAME"'


def arms(config: Config, model: Model) -> dict[str, Arm]:
    """Agents, topology and temperature (None for the study's) of every arm."""
    n = config.agents
    plain, varied = make_agents(n), teams.personas(n)
    warmths = np.linspace(COOL, WARM, n)
    return {
        ONE: (plain[:1], "vote", None),
        COPIES: (plain, "vote", None),
        GREEDY: (plain, "vote", 0.0),
        PERSONAS: (varied, "vote", None),
        PADDED: (teams.padded(n, model), "vote", None),
        SAME_PERSONA: (teams.one_persona(n), "vote", None),
        WARMTHS: ([replace(a, temperature=float(t)) for a, t in zip(plain, warmths, strict=True)], "vote", None),
        SHOTS: (make_agents(n, EXAMPLES), "vote", None),
        COPIES_MESH: (plain, "full mesh", None),
        MESH: (varied, "full mesh", None),
        SPARSE: (varied, "sparse", None),
        HUB: (varied, "centralised", None),
    }


async def played(
    trial: Trial[Config], problems: Sequence[Problem], model: Model, found: Mapping[str, Arm]
) -> ByVariant:
    """Measurements of arms on the problems; first answers with equal prompts are the same calls in all arms."""
    from shoal.models.opening import open_embedder
    from shoal.teams.evaluation import answer_all
    from shoal.teams.protocols.independent import self_consistency

    config, embedder = trial.config, open_embedder(trial.config.embedder)
    common: dict[str, Any] = {
        "trace": trial.trace, "seed": trial.derive("session"), "max_tokens": config.max_tokens,
    }  # fmt: skip

    async def arm(name: str) -> tuple[str, dict[str, Any]]:
        agents, topology, temperature = found[name]
        talk = teams.Deliberation(topology, config.rounds)
        warmth = config.temperature if temperature is None else temperature
        answered = await answer_all(talk, agents, problems, model, temperature=warmth, label=name, **common)
        said = [talk.heard.get(p.question.id, []) for p in problems]
        rows = await embedder.embed([o.text for opinions in said for o in opinions])
        return name, _measured(answered) | _channels(said, rows, len(agents))

    async def samples() -> tuple[str, dict[str, Any]]:
        async def team(question: Any, agents: Any, session: Any, **options: Any) -> Any:
            return await self_consistency(
                question, agents, session, samples=config.agents, temperature=config.temperature
            )  # fmt: skip

        return SAMPLES, _measured(
            await answer_all(team, make_agents(1), problems, model, temperature=config.temperature, label=SAMPLES,
                             **common)
        )  # fmt: skip

    return dict(await asyncio.gather(*(arm(name) for name in found), *([samples()] if ONE in found else [])))


def _measured(answered: Sequence[Any]) -> dict[str, list[float]]:
    return {
        "correct": [float(a.correct) for a in answered],
        "ties": [float(teams.is_tie(a.outcome)) for a in answered],
        "calls": [float(a.usage.calls) for a in answered],
        "tokens": [float(a.usage.tokens) for a in answered],
        "unreadable": [float(a.failures["no answer"]) for a in answered],
    }


def _channels(said: Sequence[Sequence[Any]], rows: np.ndarray, agents: int) -> dict[str, list[float]]:
    """K* of each question's last replies; questions on which all are silent are left out."""
    from shoal.diagnosis.diversity import effective_channels

    if any(len(opinions) != agents for opinions in said):
        return {}  # the budget ended a question before everybody had spoken
    found = effective_channels(rows.reshape(len(said), agents, -1))
    return {"K*": found[np.isfinite(found)].tolist()} if np.isfinite(found).any() else {}


def _specs(config: Config) -> list[str]:
    return config.models.split()
