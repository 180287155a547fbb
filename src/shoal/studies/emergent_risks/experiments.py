"""Experiments of the emergent-risks study: policies, doses, exact queue play, compiled batches, learners, models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from shoal.diagnosis.risk import RISKS, Cast, Episode, Risk, at_random, enact
from shoal.runs.study import StudyConfig, Trial

ByVariant = dict[str, dict[str, Any]]

BAD, CLEAN, RANDOM = "bad policy", "clean policy", "random policy"
BAD_CURED, RANDOM_CURED = "bad policy, mitigated", "random policy, mitigated"
DOSES = (0.0, 0.25, 0.5, 0.75, 1.0)
FREE, FEE = "no fee", "fee 80"
PLAIN, CURED = "as it is", "mitigated"
PATIENT, MYOPIC, MEMORYLESS = "discount 0.95", "discount 0", "no memory"
PRICES = tuple(float(p) for p in range(10, 21))


class Config(StudyConfig):
    """Settings of the emergent-risks study."""

    runs: int = Field(100, ge=20, le=100_000, description="runs of each risk, condition and policy")
    batch: int = Field(10_000, ge=100, le=10_000_000, description="random runs of each compiled world")
    queue_plays: int = Field(100, ge=20, le=100_000, description="tie-broken selfish plays of the queue per fee")
    rounds: int = Field(200_000, ge=1000, le=10_000_000, description="rounds that price learners play")
    rate: float = Field(0.15, gt=0, le=1, description="learning rate of price learners")
    explore: float = Field(0.01, ge=0, le=1, description="exploration of price learners at the end")
    discount: float = Field(0.95, ge=0, lt=1, description="discount of patient price learners")
    repeats: int = Field(
        3, ge=1, le=1000, description="runs of each risk and arm with the language model (paper: 3-10)"
    )
    temperature: float = Field(0.7, ge=0, le=2, description="sampling temperature of the language model")
    risks: str = Field("", description="ids of the risks the language model plays, separated by blanks; all if empty")


def policies(trial: Trial[Config]) -> ByVariant:
    """Every risk under bad, clean and random policies, without and with its mitigation."""
    found: ByVariant = {}
    for variant, mitigated in ((BAD, False), (CLEAN, False), (RANDOM, False), (BAD_CURED, True), (RANDOM_CURED, True)):
        for key, risk in RISKS.items():
            episodes = played(trial, risk, _cast(risk, variant), trial.config.runs, mitigated=mitigated)
            found.setdefault(variant, {}).update(_figures(key, episodes))
    return found


def conditions(trial: Trial[Config]) -> ByVariant:
    """Every further condition of every risk, under bad and clean policies."""
    found: ByVariant = {BAD: {}, CLEAN: {}}
    for key, risk in RISKS.items():
        for condition in risk.conditions:
            for variant in found:
                episodes = played(trial, risk, _cast(risk, variant), trial.config.runs, condition)
                found[variant][f"{key} risk, {condition}"] = [float(e.occurred) for e in episodes]
    return found


def doses(trial: Trial[Config]) -> ByVariant:
    """Conformists, deferrers and lossy relays by strength: the chance to follow the majority or title, or to drop."""
    from shoal.diagnosis.risks.authority_deference import defer
    from shoal.diagnosis.risks.majority_sway import conform, weigh
    from shoal.diagnosis.risks.semantic_drift import lossy

    found: ByVariant = {}
    for dose in DOSES:
        casts: Mapping[str, Cast] = {
            "2.1": {"summariser": weigh if dose == 0 else conform(dose), "*": conform(dose)},
            "2.2": {"*": defer(dose)},
            "4.3": {"*": lossy(dose)},
        }
        found[f"strength {dose:g}"] = {
            f"{key} risk": [float(e.occurred) for e in played(trial, RISKS.get(key), cast, trial.config.runs)]
            for key, cast in casts.items()
        }
    return found


def queue(trial: Trial[Config]) -> ByVariant:
    """Selfish play of the queue by backward induction, ties broken at random, without and with a fee."""
    from shoal.diagnosis.risks.priority_monopolisation import monopolised, selfish_outcomes

    found: ByVariant = {}
    for variant, fee in ((FREE, 0.0), (FEE, 80.0)):
        ways = list(selfish_outcomes(fee))
        drawn = trial.rng("ties").choice(len(ways), trial.config.queue_plays, p=[chance for chance, _ in ways])
        records = [ways[i][1] for i in drawn]
        found[variant] = {f"{agent} starved": [float(agent not in r["finished"]) for r in records] for agent in "ABC"}
        found[variant]["B starved, chance"] = sum(chance for chance, r in ways if "B" not in r["finished"])
        found[variant]["risk"] = [float(monopolised(r)) for r in records]
    return found


def batches(trial: Trial[Config]) -> ByVariant:
    """Thousands of random runs of the compiled worlds, without and with the mitigation."""
    from shoal.diagnosis import risk_batches as worlds
    from shoal.diagnosis.risks.information_asymmetry import TOO_MUCH
    from shoal.diagnosis.risks.priority_monopolisation import CHEAP_HOURS

    repeats = trial.config.batch
    asked = trial.rng("requests").integers(2, 9, (repeats, 5, 5))
    others = trial.rng("guarantees").integers(0, 3, (repeats, 3))
    choices = np.array([(-1, 1, 2), (-1, 0, 2), (-1, 0, 1)])[np.arange(3), others]
    found: ByVariant = {}
    for variant, mitigated in ((PLAIN, False), (CURED, True)):
        stage, cheap = worlds.queue_runs(choices, stages_in_turn=mitigated)
        share = worlds.deals(repeats, trial.derive("deals"), limit=120.0, cost=40.0, mediator=mitigated)
        monopoly = (stage < 2).any(1) & (cheap.sum(1) == CHEAP_HOURS) & (cheap == 0).any(1)
        found[variant] = {
            "1.2 risk": monopoly.astype(float),
            "1.5 risk": (np.nan_to_num(share) > TOO_MUCH).astype(float),
            "4.1 risk": (worlds.throttles(asked, 4.0 if mitigated else 8.0).min(axis=1) < 1.0).astype(float),
        }
    sold = worlds.market_prices(repeats, trial.derive("prices"))
    found[PLAIN]["1.1 all at 15 or more"] = (sold.min(axis=1) >= 15.0).astype(float)
    return found


def learners(trial: Trial[Config]) -> dict[str, list[dict[str, float]]]:
    """Two Q-learners in the market: patient, myopic and without memory; all seeds in one compiled batch."""
    from shoal.diagnosis import risk_batches as worlds
    from shoal.games.learning import learn

    c, seeds = trial.config, len(trial.seeds)
    nash = worlds.highest_nash_price(PRICES)
    learned = learn(
        worlds.duopoly(PRICES), rounds=c.rounds, blocks=20, seeds=seeds, rate=c.rate, discount=[c.discount, 0.0],
        explore=c.explore, seed=trial.derive("learners") % 2**31,
    )  # fmt: skip
    blind = worlds.memoryless_prices(
        PRICES, seeds, trial.derive("memoryless"), rounds=c.rounds, rate=c.rate, explore=c.explore, discount=c.discount
    )
    ends = {
        name: [worlds.settled_price(learned, PRICES, condition, seed) for seed in range(seeds)]
        for condition, name in enumerate((PATIENT, MYOPIC))
    }
    ends[MEMORYLESS] = blind.tolist()
    return {name: [{"price": p, "excess": p - nash} for p in found] for name, found in ends.items()}


async def models(trial: Trial[Config]) -> ByVariant:
    """The run's model in all seats of every risk, as it is and mitigated, on the same worlds."""
    import asyncio

    from shoal.diagnosis.risk_session import enact_live
    from shoal.teams.session import Session

    config, model = trial.config, trial.need_model()
    chosen = [RISKS.get(name) for name in config.risks.split() or RISKS.names()]

    async def one(risk: Risk, repeat: int, mitigated: bool) -> Episode:
        session = Session(
            model, trace=trial.trace, seed=trial.derive(risk.id, repeat), temperature=config.temperature
        )  # fmt: skip
        rng = np.random.default_rng(trial.derive(risk.id, repeat, "world"))
        return await enact_live(risk, session, rng, risk.under(mitigated=mitigated))

    jobs = [(risk, repeat, arm) for arm in (PLAIN, CURED) for risk in chosen for repeat in range(config.repeats)]
    episodes = await asyncio.gather(*(one(risk, repeat, arm == CURED) for risk, repeat, arm in jobs))
    found: ByVariant = {}
    for arm in (PLAIN, CURED):
        mine = [(risk, e) for (risk, _, which), e in zip(jobs, episodes, strict=True) if which == arm]
        found[arm] = {
            "risk": [float(e.occurred) for _, e in mine],
            "unreadable": [float(e.defaults > 0) for _, e in mine],
        }
        for risk in chosen:
            found[arm].update(_figures(risk.id, [e for r, e in mine if r is risk]))
    return found


def played(
    trial: Trial[Config], risk: Risk, cast: Cast, runs: int, condition: str = "basic", *, mitigated: bool = False
) -> list[Episode]:
    """Runs with policies; run k of every policy meets the same world."""
    settings = risk.under(condition, mitigated)
    return [enact(risk, cast, trial.rng(risk.id, k), settings) for k in range(runs)]


def _cast(risk: Risk, variant: str) -> Cast:
    if variant in (RANDOM, RANDOM_CURED):
        return {"*": at_random}
    return risk.clean if variant == CLEAN else risk.bad


def _figures(key: str, episodes: Sequence[Episode]) -> dict[str, list[float]]:
    return {
        f"{key} risk": [float(e.occurred) for e in episodes],
        f"{key} task done": [float(e.succeeded) for e in episodes],
        f"{key} unreadable": [float(e.defaults > 0) for e in episodes],
        f"{key} moves": [float(e.moves) for e in episodes],
        f"{key} refused": [float(e.refused) for e in episodes],
    }
