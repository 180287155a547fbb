"""Donor game: cultural evolution of cooperation among agents (arXiv 2412.10270) as experiments that can fail.

Twelve agents give resources that double on the way, see a short chain of recent donations, and never learn more; the
richer half survives each generation and newcomers write their strategy after reading the survivors'. Some models'
societies grew generous over ten generations, others stagnated or declined.

Evidence. ``bounds``, ``trace``, ``mutation`` and ``threshold`` are societies of **scripted strategies**, all seeds in
one program: what selection, transmission, trace and punishment do to known strategies, not what models do. ``language``
runs the protocol with a model (``--set language_agents=12 language_rounds=12 language_generations=10`` is the paper's;
``shoal run donor-game --estimate`` tells its cost first). ``models`` sets a second one beside it (``rival``) with a
permutation test, and presumes nothing about who wins. ``language-ablations`` repeats the protocol with parts missing.

Pairing. Roles alternate strictly, so an agent has only agents / 2 possible partners, and the stated rule that nobody
meets twice in 12 rounds cannot hold for 12 agents: here no pair meets twice within agents / 2 rounds. With 24 agents
and 12 rounds the rule holds. Names can be fresh each round (``pseudonyms``).

Scripted strategies. A discriminator gives half to those who gave at least a quarter, and nothing to others; by
standing, it also gives to those who refused a refuser. Newcomers turn to a random type with chance 0.02. In
``mutation`` agents match the chain (weights 0.5, 0.3, 0.2) plus an own offset; first donation and offset change by the
bias and by a normal step of 0.05. In ``threshold`` discriminators have thresholds around 0.45 (0.1) and donations
around the starting generosity (0.1), step 0.03; a run succeeds if agents end with 10 times their endowment.

Thresholds are the page's: 0.4 and 0.9 for defectors, p < 0.001, intervals apart, slope above 0. Growth is exponential,
so that a mean of raw resources is one run's story: logarithms stand beside them, and plots show every run as a line.
Selection is not tuned until it makes cooperation: alone it does not. Ours: what "readable" means for a model (5% and
50% of donation replies).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shoal.runs.checks import Checks, all_of, difference
from shoal.runs.mechanism import flows
from shoal.runs.results import Measurements, Results
from shoal.runs.study import Claim, Experiment, Study, StudyConfig, Trial, Vocabulary
from shoal.stats import Check, Estimate, Evidence, exact, fisher, mean, paired_difference
from shoal.traces import Usage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from shoal.games.donor_evolution import Evolution, SocietyHistory
    from shoal.games.donor_language import Chronicle, Protocol
    from shoal.models.interface import Model

ALL_GIVE, ALL_KEEP, ANYHOW = "all give everything", "all keep everything", "random gifts"
TRACE, HIDDEN, DEPTH_1, HALF = "trace", "no trace", "depth 1", "half defectors"
NO_SELECTION, NO_TRANSMISSION, PUNISHING = "no selection", "no transmission", "punishment"
HALF_PUNISHING = "half defectors, punishment"
LOW_B, HIGH_B, LOW_B_HIDDEN, HIGH_B_HIDDEN = "b = 1.5", "b = 3", "b = 1.5, no trace", "b = 3, no trace"
CONDITIONS = (TRACE, HIDDEN, DEPTH_1, HALF, NO_SELECTION, NO_TRANSMISSION, PUNISHING, HALF_PUNISHING, LOW_B, HIGH_B,
              LOW_B_HIDDEN, HIGH_B_HIDDEN)  # fmt: skip
STANDING, FIRST_ORDER = "standing", "first-order"
RISING, LEVEL, FALLING = "bias +0.03", "bias 0", "bias -0.03"
BIASES = {RISING: 0.03, LEVEL: 0.0, FALLING: -0.03}
GENEROSITY = (0.3, 0.4, 0.44, 0.47, 0.5, 0.54, 0.6, 0.7)
MENU, FREE = "menu", "free text"
ABLATED = ("free text, no trace", "free text, depth 1", "free text, no advice", "free text, no selection",
           "free text, punishment", "free text, b = 1.5", "free text, b = 3")  # fmt: skip
OURS, RIVAL = "the run's model", "rival"
FULL_CALLS = 1506


class DonorConfig(StudyConfig):
    """Settings of the donor game study."""

    agents: int = Field(12, ge=4, le=200, multiple_of=2, description="agents of a scripted society")
    rounds: int = Field(12, ge=2, le=60, multiple_of=2, description="rounds of each of a generation's two games")
    generations: int = Field(10, ge=2, le=500, description="generations of a scripted society")
    defectors: float = Field(0.25, ge=0, le=1, description="share of defectors among the founders")
    mutation: float = Field(0.02, ge=0, le=1, description="chance that a newcomer turns to a random type")
    punish: float = Field(0.1, gt=0, le=1, description="share of its units that a punisher spends")
    language_agents: int = Field(4, ge=4, le=100, multiple_of=2, description="agents of a society of models")
    language_rounds: int = Field(4, ge=2, le=60, multiple_of=2, description="rounds of its games")
    language_generations: int = Field(2, ge=2, le=100, description="its generations")
    language_ablations: bool = Field(False, description="also run the protocol with parts missing")
    pseudonyms: bool = Field(False, description="models see fresh names each round")
    rival: str = Field("", description="a second model to compare with: local:NAME, http://..., openai:NAME")
    temperature: float = Field(0.8, ge=0, le=2, description="sampling temperature of the models")
    max_tokens: int = Field(48, ge=8, le=4096, description="longest reply of a model")


def bounds(trial: Trial[DonorConfig]) -> Measurements:
    """Closed forms: everything given, nothing given; and the books kept in games of random gifts."""
    from shoal.games.donor import DonorGame
    from shoal.games.donor_language import Protocol

    config, rng = trial.config, trial.rng("gifts")
    off, game = 0.0, DonorGame(config.agents, config.rounds)
    finals = []
    for multiplier in (1.5, 2.0, 3.0):
        game = replace(game, multiplier=multiplier)
        state = game.begin(rng)
        while views := game.turns(state):
            top = game.levels - 1
            share = {ALL_GIVE: top, ALL_KEEP: 0}.get(trial.variant)
            moves = {v.player: int(rng.integers(game.levels)) if share is None else share for v in views}
            before, owned = sum(state.resources), list(state.resources)
            state = game.step(state, moves, rng)
            given = sum(owned[donor] * move / top for donor, move in moves.items())
            off = max(off, abs(sum(state.resources) - before - (multiplier - 1) * given) / before)
        finals.append(float(game.payoffs(state).mean()))
    full = Protocol()
    return {"resources": finals[1], "books off": off, "calls of a full run": full.strategy_calls + full.donation_calls}


def _told(history: SocietyHistory) -> list[Measurements]:
    """Measurements of each society; values of the generations are items."""
    log = np.log10(history.resources)
    measured: list[Measurements] = []
    for k in range(len(log)):
        ends: dict[str, Any] = {}
        courses = {"donation": history.donation[k], "log resources": log[k], "defectors": history.defectors[k]}
        for name, course in courses.items():
            ends |= {f"{name} by generation": course, f"{name}, first": course[0], f"{name}, last": course[-1]}
        measured.append({
            **ends, "resources, last": history.resources[k, -1], "rose": float(log[k, -1] > log[k, 0]),
            "punished": history.punished[k].mean(), "selection differential": history.differential[k].mean(),
            "mutation bias": history.drift[k].mean(),
        })  # fmt: skip
    return measured


def _rules(config: DonorConfig, **changes: Any) -> Evolution:
    from shoal.games.donor_evolution import Evolution

    return Evolution(config.generations, config.rounds, **changes)


def trace(trial: Trial[DonorConfig]) -> Mapping[str, Sequence[Measurements]]:
    """Defectors among discriminators, of both kinds, under every condition; the same luck in all."""
    from shoal.games.donor_evolution import defector, discriminator, evolve

    config, seeds = trial.config, trial.derive_each("lives")
    changes: dict[str, dict[str, Any]] = {
        HIDDEN: {"depth": 0}, DEPTH_1: {"depth": 1}, NO_SELECTION: {"selection": False},
        NO_TRANSMISSION: {"transmission": False}, LOW_B: {"multiplier": 1.5}, HIGH_B: {"multiplier": 3.0},
        LOW_B_HIDDEN: {"multiplier": 1.5, "depth": 0}, HIGH_B_HIDDEN: {"multiplier": 3.0, "depth": 0},
    }  # fmt: skip
    measured: dict[str, Sequence[Measurements]] = {}
    for kind in (STANDING, FIRST_ORDER):
        for name in CONDITIONS:
            punish = config.punish if name in (PUNISHING, HALF_PUNISHING) else 0.0
            types = np.array([defector(), discriminator(standing=kind == STANDING, punish=punish)])
            share = 0.5 if name in (HALF, HALF_PUNISHING) else config.defectors
            places = np.arange(config.agents) >= round(share * config.agents)
            kinds = np.array([np.random.default_rng(s).permutation(places) for s in seeds]).astype(int)
            rules = _rules(config, types=types, mutation=config.mutation, **changes.get(name, {}))
            measured[f"{kind}, {name}"] = _told(evolve(types[kinds], kinds, seeds, rules))
    return measured


def mutation(trial: Trial[DonorConfig]) -> Mapping[str, Sequence[Measurements]]:
    """Chain matchers whose newcomers are a little more generous, as generous, or less generous than their advisers."""
    from shoal.games.donor_evolution import TRAITS, chain_matcher, evolve

    config, seeds = trial.config, trial.derive_each("lives")
    founders = np.tile(chain_matcher(), (len(seeds), config.agents, 1))
    draws = [np.random.default_rng(s).normal(0.5, 0.15, config.agents) for s in seeds]
    founders[..., TRAITS.index("first")] = np.clip(draws, 0, 1)
    measured = {}
    for name, bias in BIASES.items():
        rules = _rules(config, bias=(("first", bias), ("base", bias)), width=(("first", 0.05), ("base", 0.05)))
        measured[name] = _told(evolve(founders, np.ones(founders.shape[:2]), seeds, rules))
    return measured


def threshold(trial: Trial[DonorConfig]) -> Mapping[str, Sequence[Measurements]]:
    """Discriminators with thresholds of their own, from several starting generosities."""
    from shoal.games.donor_evolution import TRAITS, discriminator, evolve

    config, seeds = trial.config, trial.derive_each("lives")
    measured = {}
    for generosity in GENEROSITY:
        founders = np.tile(discriminator(), (len(seeds), config.agents, 1))
        rngs = [np.random.default_rng(s) for s in seeds]
        start = np.clip([generosity + rng.normal(0, 0.1, config.agents) for rng in rngs], 0, 1)
        founders[..., TRAITS.index("first")] = founders[..., TRAITS.index("base")] = start
        founders[..., TRAITS.index("threshold")] = [0.45 + rng.normal(0, 0.1, config.agents) for rng in rngs]
        rules = _rules(config, width=(("first", 0.03), ("base", 0.03)))
        history = evolve(founders, np.ones(founders.shape[:2]), seeds, rules)
        success = history.resources[:, -1] > 10 * rules.endowment
        measured[f"{generosity:g}"] = [{**m, "success": float(s)} for m, s in zip(_told(history), success, strict=True)]
    return measured


def protocol(config: DonorConfig, variant: str) -> Protocol:
    """The protocol of a variant."""
    from shoal.games.donor_language import Protocol

    whole = Protocol(
        config.language_agents, config.language_rounds, config.language_generations, pseudonyms=config.pseudonyms
    )
    changes: dict[str, dict[str, Any]] = {
        MENU: {"menu": True}, "no trace": {"depth": 0}, "depth 1": {"depth": 1}, "no advice": {"advice": False},
        "no selection": {"selection": False}, "punishment": {"punishment": True}, "b = 1.5": {"multiplier": 1.5},
        "b = 3": {"multiplier": 3.0},
    }  # fmt: skip
    return replace(whole, **changes.get(variant.rpartition(", ")[2], {}))


async def _society(trial: Trial[DonorConfig], model: Model, of: Protocol, name: str) -> tuple[Chronicle, Usage]:
    """One run of the protocol; every prompt and reply goes to the trace."""
    from shoal.games.donor_language import live
    from shoal.teams.agent import Agent
    from shoal.teams.session import Session

    config = trial.config
    session = Session(model, trace=trial.trace, seed=trial.derive("session"), temperature=config.temperature)

    async def ask(agent: str, system: str, prompt: str, schema: dict[str, Any] | None) -> str:
        asked = Agent(agent, persona=system)
        return (await session.ask(asked, prompt, max_tokens=16 if schema else config.max_tokens, schema=schema)).text

    told = await live(of, ask, trial.rng("pairs"))
    trees = [[(p.name, p.sentence, p.advisers) for p in people] for people in told.citizens]
    trial.trace.write("decision", payload={"society": name, "citizens": trees, "scores": told.scores})
    return told, session.usage


def _flags(ones: int, of: int) -> list[float]:
    """One item for each reply."""
    return [1.0] * ones + [0.0] * (of - ones)


def _reported(of: Protocol, told: Chronicle, usage: Usage) -> Measurements:
    unread = sum(n for kind, n in told.failures.items() if kind.startswith("donation") and "clamped" not in kind)
    log = np.log10(np.maximum(told.resources, 1e-3))
    return {
        "donation by generation": told.donation, "donation, first": told.donation[0],
        "donation, last": told.donation[-1],
        "log resources by generation": log, "log resources, last": log[-1], "resources, last": told.resources[-1],
        "selection differential": np.mean(told.differential), "mutation bias": np.mean(told.drift),
        "punished": np.mean(told.punished), "strategy length": np.mean(told.length),
        "donations unread": _flags(unread, told.replies["donation"]), "clamped": told.failures["donation: clamped"],
        "strategies unread": _flags(told.failures["strategy: not the phrase"], told.replies["strategy"]),
        "calls": usage.calls, "calls, least": of.strategy_calls + of.donation_calls, "tokens": usage.tokens,
        "money": usage.money,
    }  # fmt: skip


async def language(trial: Trial[DonorConfig]) -> Measurements:
    """A society of the run's model; the expected cost is written to the trace before the first call."""
    usage, of = forecast(trial), protocol(trial.config, trial.variant)
    expected = {"calls": usage.calls, "tokens": usage.tokens, "money": usage.money}
    trial.trace.write("decision", payload={"decision": "cost of the society, estimated", **expected})
    return _reported(of, *await _society(trial, trial.need_model(), of, trial.variant))


def forecast(trial: Trial[DonorConfig]) -> Usage:
    """What one society is expected to cost if every reply can be read; prompts are measured on a made-up example."""
    from shoal.games.donor_language import Citizen, donation_prompt, strategy_prompt, system_message

    of, model, longest = protocol(trial.config, trial.variant), trial.need_model(), trial.config.max_tokens
    someone = Citizen("1_10", "My strategy will be to give about half to those who have given about half themselves.")
    chain = ["1 round ago 1_10 gave 50% of its units to 1_11."] * of.depth
    rules = model.count_tokens(system_message(of)) + 8
    strategy = rules + model.count_tokens(
        strategy_prompt(of, [(someone, 100.0)] * (of.agents // 2 if of.advice else 0))
    )
    gift = rules + model.count_tokens(donation_prompt(of, someone, 100.0, "1_11", 100.0, chain, 1, 1))
    calls = of.strategy_calls + of.donation_calls
    written = calls * (12 if of.menu else longest)
    usage = Usage(of.strategy_calls * strategy + of.donation_calls * gift, written, calls)
    usage.money = model.price(usage)
    return usage


async def models(trial: Trial[DonorConfig]) -> Mapping[str, Measurements]:
    """The run's model and its rival, on the same pairings."""
    from shoal.models.opening import open_model

    of, rival = protocol(trial.config, FREE), open_model(trial.config.rival)
    try:
        found = {
            name: await _society(trial, model, of, name) for name, model in ((OURS, trial.need_model()), (RIVAL, rival))
        }
    finally:
        await rival.aclose()
    return {name: _reported(of, *one) for name, one in found.items()}


def no_rival(config: DonorConfig) -> str | None:
    """Why two models cannot be compared, if they cannot."""
    return None if config.rival else "one model only: name a second one with --set rival=http://host:port/v1#NAME"


def no_ablations(config: DonorConfig) -> str | None:
    """Why the protocol is not repeated with parts missing, if it is not."""
    return (
        None if config.language_ablations else f"{len(ABLATED)} more societies: ask with --set language_ablations=true"
    )


def permutation_p(one: NDArray[np.float64], two: NDArray[np.float64], draws: int = 20_000) -> float:
    """Two-sided permutation test of the ranks of two sets of runs; 1 where nothing tells them apart."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([one, two]))
    gap = abs(ranks[: one.size].mean() - ranks[one.size :].mean())
    mixed = np.random.default_rng(0).permuted(np.tile(ranks, (draws, 1)), axis=1)
    others = np.abs(mixed[:, : one.size].mean(axis=1) - mixed[:, one.size :].mean(axis=1))
    return float((1 + (others >= gap - 1e-9).sum()) / (1 + draws))


def logistic_slope(x: NDArray[np.float64], y: NDArray[np.float64]) -> Estimate:
    """Slope of a logistic regression of y (0 or 1) on x, with Wald's interval; both [n].

    Runs that share their luck across x make the interval too wide rather than too narrow.
    """
    design, beta = np.stack([np.ones_like(x), x - x.mean()], axis=1), np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-design @ beta))
        information = (design * (p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        beta = beta + np.linalg.solve(information, design.T @ (y - p))
    half = 1.959964 * float(np.sqrt(np.linalg.inv(information)[1, 1]))
    return Estimate(float(beta[1]), float(beta[1]) - half, float(beta[1]) + half, x.size, method="logistic, wald")


KINDS = (STANDING, FIRST_ORDER)


def _level(experiment: str, variants: Sequence[str], metric: str, needs: int = 2, **region: Any) -> Checks:
    def checks(results: Results) -> list[Check]:
        found = [(v, results.mean(experiment, v, metric)) for v in variants if results.has(experiment, v, metric)]
        return [Check(f"{metric}: {v}", estimate, needs=needs, **region) for v, estimate in found]

    return checks


def _replies(variant: str, metric: str, **region: Any) -> Checks:
    """Over all replies of all runs: whether one can be read hardly depends on the society."""

    def checks(results: Results) -> list[Check]:
        flags, _ = results.items("language", variant, metric)
        return [Check(f"{metric}: {variant}", mean(flags), needs=10, **region)] if flags.size else []

    return checks


def _change(experiment: str, variant: str, metric: str, needs: int = 2, **region: Any) -> Checks:
    """Last generation less the first."""

    def checks(results: Results) -> list[Check]:
        ends = [results.values(experiment, variant, f"{metric}, {end}") for end in ("last", "first")]
        if not ends[0].size:
            return []
        return [Check(f"{metric}, last - first: {variant}", paired_difference(ends[0], ends[1]), needs=needs, **region)]

    return checks


def _both(condition: str, against: str, metric: str, **region: Any) -> Checks:
    return all_of(*(difference("trace", f"{k}, {condition}", f"{k}, {against}", metric, **region) for k in KINDS))


def _of_kinds(condition: str, metric: str, **region: Any) -> Checks:
    return _level("trace", [f"{k}, {condition}" for k in KINDS], metric, **region)


def _taken_over(results: Results) -> list[Check]:
    """Fisher's exact test on societies in which defectors end as the majority."""
    checks = []
    for kind in KINDS:
        shares = [results.values("trace", f"{kind}, {c}", "defectors, last") for c in (HIDDEN, TRACE)]
        if shares[0].size:
            counts = [(int((s > 0.5).sum()), s.size) for s in shares]
            p = fisher(*counts[0], *counts[1], alternative="greater")
            checks.append(Check(f"p of defectors' majorities, no trace against trace: {kind}", exact(p, shares[0].size),
                                below=0.001))  # fmt: skip
    return checks


def _majorities(results: Results, variant: str) -> list[Check]:
    shares = results.values("trace", variant, "defectors, last")
    label = f"share of societies with a majority of defectors: {variant}"
    return [Check(label, mean((shares > 0.5).astype(float)), above=0.5)] if shares.size else []


def _ordered(metric: str) -> Checks:
    """Intervals of the three biases lie apart, in their order."""

    def checks(results: Results) -> list[Check]:
        found = {
            name: results.mean("mutation", name, metric) for name in BIASES if results.has("mutation", name, metric)
        }
        pairs = ((RISING, LEVEL), (LEVEL, FALLING))
        return [
            Check(f"{metric}: lower end of {a} - upper end of {b}", exact(found[a].low - found[b].high, found[a].n),
                  above=0.0)
            for a, b in pairs if a in found and b in found
        ]  # fmt: skip

    return checks


def _slope(results: Results) -> list[Check]:
    runs = [(float(v), results.values("threshold", v, "success")) for v in results.variants("threshold")]
    if not runs:
        return []
    x = np.concatenate([np.full(found.size, start) for start, found in runs])
    return [
        Check("slope of success over generosity", logistic_slope(x, np.concatenate([f for _, f in runs])), above=0.0)
    ]


def _models_differ(results: Results) -> list[Check]:
    runs = [results.values("models", name, "resources, last") for name in (OURS, RIVAL)]
    if not runs[0].size:
        return []
    n = min(r.size for r in runs)
    return [Check("p of the ranks of final resources", exact(permutation_p(runs[0], runs[1]), n), below=0.05, needs=5)]


def plots(results: Results) -> dict[str, Figure]:
    """Every run as a line where growth is shown; final shares of defectors; success over generosity."""
    from shoal.runs.plots import bars, new_figure

    figures: dict[str, Figure] = {}
    lines = {"mutation": tuple(BIASES), "language": (MENU, FREE), "models": (OURS, RIVAL)}
    for name, variants in lines.items():
        shown = [v for v in variants if results.has(name, v)]
        if shown:
            figures[name], axes = new_figure(len(shown), 2, 3.6, 2.6)
            for k, variant in enumerate(shown):
                for row, metric in enumerate(("donation", "log resources")):
                    _runs(axes[row * len(shown) + k], results, name, variant, metric)
    if results.has("trace"):
        figures["trace"], axes = new_figure(2, 1, 5.6, 5.0)
        bars(axes[0], results, "trace", "defectors, last")
        bars(axes[1], results, "trace", "log resources, last")
    if results.has("threshold"):
        figures["threshold"], (ax,) = new_figure()
        starts = results.variants("threshold")
        found = [results.mean("threshold", v, "success") for v in starts]
        reach = np.abs([[e.value - e.low for e in found], [e.high - e.value for e in found]])
        ax.errorbar([float(v) for v in starts], [e.value for e in found], yerr=reach, marker="o", capsize=2)
        ax.set(xlabel="mean first donation of the founders", ylabel="share of runs that succeed", ylim=(0, 1))
    return figures


def _runs(ax: Any, results: Results, experiment: str, variant: str, metric: str) -> None:
    items, seeds = results.items(experiment, variant, f"{metric} by generation")
    courses = items.reshape(np.unique(seeds).size, -1)
    generations = np.arange(1, courses.shape[1] + 1)
    ax.plot(generations, courses.T, color="#0072B2", linewidth=0.5, alpha=0.35)
    ax.plot(generations, courses.mean(axis=0), color="#D55E00", linewidth=2)
    ax.set_xticks(generations[:: max(1, generations.size // 10)])
    ax.set(xlabel="generation", ylabel=f"{metric} (log10)" if metric.startswith("log") else metric)
    ax.set_title(variant, fontsize=9, loc="left")


_VARIED = tuple(f"{kind}, {name}" for kind in KINDS for name in CONDITIONS)
_MODEL = "One small model and short societies: expect little; --model takes any endpoint."
_PAPER = "A finding of the paper about one model; who shows it here is what the run tells."

# fmt: off
EXPERIMENTS = (
    Experiment("bounds", bounds, (ALL_GIVE, ALL_KEEP, ANYHOW), Evidence.EXACT,
               seeds={"quick": 3, "standard": 20, "full": 20}),
    Experiment("trace", trace, _VARIED, joint=True, vectorised=True),
    Experiment("mutation", mutation, tuple(BIASES), joint=True, vectorised=True),
    Experiment("threshold", threshold, tuple(f"{g:g}" for g in GENEROSITY), joint=True, vectorised=True),
    Experiment("language", language, (MENU, FREE), seeds={"quick": 1, "standard": 2, "full": 5}, model=True,
               forecast=forecast),
    Experiment("language-ablations", language, ABLATED, seeds={"quick": 1, "standard": 2, "full": 5}, model=True,
               forecast=forecast, skip=no_ablations),
    Experiment("models", models, (OURS, RIVAL), seeds={"quick": 5, "standard": 5, "full": 5}, model=True, joint=True,
               skip=no_rival),
)
CLAIMS = (
    Claim("all-give", "If all give everything, 12 agents end with 30,720 on average", "bounds",
          _level("bounds", [ALL_GIVE], "resources", above=30_720 - 1e-6, below=30_720 + 1e-6)),
    Claim("all-keep", "If nobody gives they stay at 10", "bounds",
          _level("bounds", [ALL_KEEP], "resources", above=10.0, below=10.0)),
    Claim("books", "After every round the total is what it was plus (b - 1) times what was given, for b = 1.5, 2 and 3",
          "bounds", _level("bounds", [ALL_GIVE, ALL_KEEP, ANYHOW], "books off", below=1e-9)),
    Claim("calls", "The paper's protocol takes 1,506 calls", "bounds",
          _level("bounds", [ANYHOW], "calls of a full run", above=FULL_CALLS, below=FULL_CALLS)),
    Claim("trace-protects", "With the trace shown, 25% defectors among discriminators fall below 40% in 10 generations",
          "trace", _of_kinds(TRACE, "defectors, last", below=0.4)),
    Claim("trace-off", "Ablation, trace hidden: defectors end above 90%", "trace",
          _of_kinds(HIDDEN, "defectors, last", above=0.9)),
    Claim("trace-difference", "Defectors become the majority more often without the trace (exact test, p < .001)",
          "trace", _taken_over),
    Claim("half-defectors", "From half defectors most societies end with a majority of them, even with the trace",
          "trace", lambda r: [c for k in KINDS for c in _majorities(r, f"{k}, {HALF}")]),
    Claim("multipliers", "With b = 1.5 and 3 the picture is the same", "trace",
          all_of(_of_kinds(LOW_B, "defectors, last", below=0.4), _of_kinds(HIGH_B, "defectors, last", below=0.4),
                 _of_kinds(LOW_B_HIDDEN, "defectors, last", above=0.9),
                 _of_kinds(HIGH_B_HIDDEN, "defectors, last", above=0.9))),
    Claim("depth-1", "With a trace of depth 1 societies that go by standing end poorer", "trace",
          difference("trace", f"{STANDING}, {DEPTH_1}", f"{STANDING}, {TRACE}", "log resources, last", below=0.0)),
    Claim("depth-1-first-order", "Those that look at the last donation only end the same", "trace",
          difference("trace", f"{FIRST_ORDER}, {DEPTH_1}", f"{FIRST_ORDER}, {TRACE}", "log resources, last",
                     above=-1e-9, below=1e-9)),
    Claim("no-selection", "Ablation, no selection: more defectors at the end", "trace",
          _both(NO_SELECTION, TRACE, "defectors, last", above=0.0)),
    Claim("no-transmission", "Ablation, newcomers without advice: more defectors at the end", "trace",
          _both(NO_TRANSMISSION, TRACE, "defectors, last", above=0.0)),
    Claim("punishment-raises", "Punishment raises final resources (as with one of the paper's models)", "trace",
          _both(PUNISHING, TRACE, "log resources, last", above=0.0), _PAPER),
    Claim("punishment-lowers", "From half defectors, punishment lowers them (as with another)", "trace",
          _both(HALF_PUNISHING, HALF, "log resources, last", below=0.0), _PAPER),
    Claim("keeping-pays", "Where no trace is shown, selection favours those who give less", "trace",
          _of_kinds(HIDDEN, "selection differential", below=0.0)),
    Claim("giving-pays", "Where it is shown, selection favours those who give more", "trace",
          _of_kinds(TRACE, "selection differential", above=0.0)),
    Claim("bias-order", "Final resources are ordered by mutation bias, +0.03 > 0 > -0.03, with intervals apart",
          "mutation", all_of(_ordered("resources, last"), _ordered("log resources, last"))),
    Claim("growth", "With bias +0.03 donations grow over the generations", "mutation",
          _change("mutation", RISING, "donation", above=0.0)),
    Claim("decline", "With bias -0.03 they decline", "mutation", _change("mutation", FALLING, "donation", below=0.0)),
    Claim("selection-alone", "Selection alone (bias 0) makes fewer than half of the societies richer", "mutation",
          _level("mutation", [LEVEL], "rose", below=0.5)),
    Claim("bias-measured", "The measured mutation bias has the sign of the true one", "mutation",
          all_of(_level("mutation", [RISING], "mutation bias", above=0.0),
                 _level("mutation", [FALLING], "mutation bias", below=0.0))),
    Claim("start-matters", "The more generous the founders, the more runs succeed (logistic slope above 0)",
          "threshold", _slope),
    Claim("menu-readable", "A model that chooses from a menu is read in 95% of its donations", "language",
          _replies(MENU, "donations unread", below=0.05), _MODEL),
    Claim("free-donations", "More than half of the small local model's free donations cannot be read", "language",
          _replies(FREE, "donations unread", above=0.5), _MODEL),
    Claim("free-strategies", "More than half of its free strategies lack the phrase", "language",
          _replies(FREE, "strategies unread", above=0.5), _MODEL),
    Claim("model-grows", "Donations grow from the first generation to the last", "language",
          all_of(*(_change("language", v, "donation", needs=5, above=0.0) for v in (MENU, FREE))), _MODEL),
    Claim("model-selection", "Selection favours the generous", "language",
          _level("language", [MENU, FREE], "selection differential", needs=5, above=0.0), _MODEL),
    Claim("models-differ", "Two models end with different resources (permutation test of ranks)", "models",
          _models_differ, "Two-sided: which one ends richer is in the measurements, and is not presumed."),
)
# fmt: on


STUDY = Study(
    name="donor-game",
    title="Donor game: cultural evolution of cooperation",
    paper="arXiv 2412.10270 (2024)",
    kind="game",
    engine="games",
    summary=(
        "Agents give resources that double on the way, seeing only a short chain of recent donations; the richer half "
        "survives and newcomers learn from it. Tested on scripted strategies under every ablation, growth and decline, "
        "and with language models under the full protocol, whose cost is told first."
    ),
    mechanism=flows(
        "strategies -> donor and recipient -> donation -(doubled)-> resources -(richest half)-> survivors",
        "donation -> trace of past gifts -(shown to the donor)-> donation",
        "survivors -(advice and scores)-> newcomers -> strategies",
        "survivors -(unchanged)-> strategies",
    ),
    config=DonorConfig,
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    sizes={
        "quick": {"language_rounds": 2, "max_tokens": 32},
        "standard": {},
        "full": {"language_agents": 12, "language_rounds": 12, "language_generations": 10, "max_tokens": 200},
    },
    seeds={"quick": 100, "standard": 100, "full": 1000},
    vocabulary=Vocabulary(("peers",), ("coopetition",), ("decentralized",), ("rule-based",), ("indirect reciprocity",)),
    plots=plots,
)
