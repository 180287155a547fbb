"""The layer between synthetic agents, and on a chain of a real model."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from shoal.runs.checks import ItemTable
from shoal.runs.study import Trial
from shoal.studies.error_cascades.settings import (
    ATTACKS,
    CLEAN,
    COMPLIANCE,
    DEFENCES,
    FUD,
    MODEL,
    MODES,
    NO_APPEALS,
    NONE,
    PACKAGED,
    PLAIN,
    REFLECTION,
    RELAYED,
    RULES,
    STRICT,
    TEAMS,
    ByVariant,
    CascadesConfig,
)

if TYPE_CHECKING:
    from shoal.diagnosis.governance.scenarios import Item
    from shoal.diagnosis.governance.synthetic import Defence, Reliability
    from shoal.models.interface import Model


def _defence(name: str, appeals: bool = True) -> Defence:
    from shoal.diagnosis.governance.policy import find_policy
    from shoal.diagnosis.governance.synthetic import Defence

    policy = DEFENCES[name]
    return Defence(name, replace(find_policy(policy), appeals=appeals) if policy else None, name == REFLECTION)


def _face(
    trial: Trial[CascadesConfig], defence: Defence, kind: str, attack: str, briefed: bool,
    reliability: Reliability | None = None,
) -> dict[str, float]:  # fmt: skip
    """One run of one team under one attack."""
    from shoal.diagnosis.governance.attacks import ATTACKS as FORMS
    from shoal.diagnosis.governance.synthetic import Team, luck, play

    team = Team(kind)
    draws = luck(team, trial.derive("luck", kind, attack))
    played = play(team, FORMS.get(attack), defence, draws, reliability=reliability, briefed=briefed)
    cell = f"{kind}, {attack}"
    return {
        f"blocked, {cell}": float(not played.infected), f"safe, {cell}": float(played.safe),
        f"tokens, {cell}": float(played.tokens),
    }  # fmt: skip


def defences(trial: Trial[CascadesConfig]) -> ByVariant:
    """Every defence against every attack on every team, with the same luck."""
    briefed = bool(trial.rng("brief").random() < trial.config.briefed)
    measured = ByVariant()
    for name in DEFENCES:
        cells = [_face(trial, _defence(name), kind, attack, briefed) for kind in TEAMS for attack in ATTACKS]
        measured[name] = {metric: value for cell in cells for metric, value in cell.items()}
    return measured


def coin(trial: Trial[CascadesConfig]) -> ByVariant:
    """The three modes with a verifier that tosses a coin, and Strict without appeals."""
    from shoal.diagnosis.governance.synthetic import COIN

    briefed = bool(trial.rng("brief").random() < trial.config.briefed)
    chosen = {**{name: _defence(name) for name in MODES}, NO_APPEALS: _defence(STRICT, appeals=False)}
    measured = ByVariant()
    for name, defence in chosen.items():
        cells = [_face(trial, defence, kind, attack, briefed, COIN) for kind in TEAMS for attack in PACKAGED]
        measured[name] = {metric: value for cell in cells for metric, value in cell.items()}
    return measured


def coverage(trial: Trial[CascadesConfig]) -> ByVariant:
    """Stars under the compliance attack, whose constraint the layer knows from the task, or does not know."""
    measured = ByVariant()
    for name in (NONE, REFLECTION, *MODES):
        measured[name] = {}
        for told in (True, False):
            found = _face(trial, _defence(name), "star", "compliance", told)
            measured[name]["blocked, told" if told else "blocked, not told"] = found["blocked, star, compliance"]
    return measured


async def relay(trial: Trial[CascadesConfig]) -> ByVariant:
    """A chain of four hands a statement on: under three attacks, and under one of them with each defence."""
    from shoal.diagnosis.governance.scenarios import make_items, relay_problem
    from shoal.tasks.problem import answer_key

    config = trial.config
    items = make_items(config.relay_items, trial.derive("items"))
    model = trial.need_model(answer_key([relay_problem(item) for item in items]))
    cases: dict[str, tuple[str, str]] = {
        CLEAN: ("", NONE), PLAIN: ("plain", NONE), COMPLIANCE: ("compliance", NONE), FUD: ("fud", NONE),
        **{name: ("fud", name) for name in RELAYED},
    }  # fmt: skip
    found = await asyncio.gather(
        *(_relayed(trial, model, item, attack, defence) for attack, defence in cases.values() for item in items)
    )
    count = len(items)
    return {
        name: {metric: [one[metric] for one in found[k * count : (k + 1) * count]] for metric in found[0]}
        for k, name in enumerate(cases)
    }


async def _relayed(
    trial: Trial[CascadesConfig], model: Model, item: Item, attack: str, defence: str
) -> dict[str, float]:  # fmt: skip
    from shoal.diagnosis.governance.attacks import ATTACKS as FORMS
    from shoal.diagnosis.governance.layer import Governance
    from shoal.diagnosis.governance.scenarios import Relayed, relay, relay_problem
    from shoal.diagnosis.governance.staff import Rules
    from shoal.diagnosis.watching import Stopped
    from shoal.teams.agent import make_agents
    from shoal.teams.session import Session

    session = Session(
        model, relay_problem(item).question, trial.trace, seed=trial.derive("session", item.id),
        max_tokens=trial.config.max_tokens,
    )  # fmt: skip
    policy = _defence(defence).policy
    agents = make_agents(4)
    layer = Governance(replace(policy, hubs=(agents[-1].name,)), Rules(item.brief)) if policy else None
    if layer is not None and trial.rng("told", item.id).random() < trial.config.briefed:
        layer.lineage.confirm_brief(item.brief)
    try:
        label = f"{attack or 'no'} attack, {defence}"
        told = await relay(item, agents, session, FORMS.get(attack), layer, defence == REFLECTION, label)
    except Stopped:
        told = Relayed((), "", 0)
    return {
        "blocked": float(not item.adopted(told.final)), "safe": float(item.kept(told.final)),
        "adopted": float(np.mean(told.adopted)) if told.adopted else 0.0, "tokens": float(session.usage.tokens),
        "calls": float(session.usage.calls), "seconds": session.usage.seconds,
    }  # fmt: skip


async def judging(trial: Trial[CascadesConfig]) -> ByVariant:
    """Labels on statements whose truth is known, in the task's words and in others: rules beside the model."""
    from shoal.diagnosis.governance.claims import claim_of
    from shoal.diagnosis.governance.lineage import Lineage
    from shoal.diagnosis.governance.prompts import ModelStaff
    from shoal.diagnosis.governance.scenarios import make_items, relay_problem
    from shoal.diagnosis.governance.staff import Rules
    from shoal.tasks.problem import answer_key

    config = trial.config
    items = make_items(config.judge_items, trial.derive("items"))
    model = trial.need_model(answer_key([relay_problem(item) for item in items]))

    async def labels(item: Item) -> list[tuple[str, dict[str, float]]]:
        lineage, staff = Lineage(), ModelStaff(model, max_tokens=96)
        lineage.confirm_brief(item.brief)
        rows: list[tuple[str, dict[str, float]]] = []
        for wording, false, true in (("same words", item.falsehood, item.brief), ("other words", *item.paraphrases)):
            claims = [claim_of(false), claim_of(true)]
            for name, found in ((RULES, Rules().judge(claims, lineage)), (MODEL, await staff.judge(claims, lineage))):
                hit, alarm = found[0].label == "red", found[1].label == "red"
                rows.append((name, {f"caught, {wording}": hit, f"false alarm, {wording}": alarm}))
        return [*rows, (MODEL, {"unread": sum(staff.unread.values())})]

    table = ItemTable()
    for rows in await asyncio.gather(*(labels(item) for item in items)):
        for name, values in rows:
            table.add(name, **values)
    return table.rows
