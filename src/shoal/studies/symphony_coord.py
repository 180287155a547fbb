"""Symphony-Coord (arXiv 2602.00966, 2026): routing among unequal agents by beacon, screen and LinUCB.

What is tested: routing that learns moves away from agents that fail (simulator of experiment 2), its regret is
sublinear where its assumption holds, cost in the reward buys cheapness at a price in success, and what a warm-up is
worth. The same router then works a pool of four real models' recorded answers, and five personas on the run's model.

Departures from the released code, and why:
- Profiles are copied per policy. The released script edits the profiles that all policies share, and rebuilds agents
  from them, so policies run later start from damaged agents. All policies meet the same draws.
- ``degraded`` lowers what A advertises, which tells a greedy matcher about the shock; ``degraded-silent`` does not.
- Step reward and winner bonus make one update, not two with the same features (the ablation shows the difference).
- The test phase takes the best mean. The code keeps the confidence bonus, which never shrinks without updates
  ("routed, radius kept").
- Latency of a live call is counted in tokens, not clocked, so that a rerun routes alike.
- Selection, screen and votes are in process; nothing crosses a network. "Decentralised" is weak in the original too,
  whose selector is one shared object; "per requester" has one for each of several requesters.

Thresholds: the page's, untuned. Where it gives none: "collapses" is a success rate below 0.1 after the shock; "ties"
is a difference within 0.03. The reduced radius (0.1 of the theoretical one) is a tuned value, taken from the page and
used for every learning variant alike.

Recovery: the paper's definition asks for 90% of the level before the shock. Both shocks take competence out of the
pool, so that no policy can come back to that level, the oracle included; the attainable level, 90% of what the best
available agent of each task still has, is reported beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from shoal.runs.mechanism import flows
from shoal.runs.results import Measurements, Results
from shoal.runs.seeds import derive
from shoal.runs.study import Claim, Experiment, Study, StudyConfig, Trial, Vocabulary
from shoal.stats import Check, Evidence, clustered_mean, mean
from shoal.teams.routing import agreement, figures, linear_world, live, policies, recovery, replay, warmup
from shoal.teams.routing.linucb import Radius
from shoal.teams.routing.pool import Reward, draw, paper_pool, simulate
from shoal.teams.routing.router import RouterSettings

FIRST = 100
"""Tasks that count as the start."""

RHOS = (0.0, 0.4, 0.8)
FULL = ", full radius"


class Config(StudyConfig):
    """Settings of the study."""

    tasks: int = Field(1000, ge=300, le=100_000, description="tasks of a simulated run")
    shock_at: int = Field(500, ge=200, description="first task after the shock; before the last 50")
    hard_share: float = Field(0.7, ge=0, le=1, description="probability that a task is hard")
    screened: int = Field(3, ge=1, le=100, description="L: agents that the screen keeps")
    alpha: float = Field(1.0, ge=0, description="LinUCB: width of the noise term")
    regularisation: float = Field(1.0, gt=0, description="LinUCB: lambda")
    norm_bound: float = Field(1.0, ge=0, description="LinUCB: S, bound on the norm of the weights")
    delta: float = Field(0.05, gt=0, lt=1, description="LinUCB: probability that the bound fails")
    reduced: float = Field(0.1, ge=0, le=1, description="factor on the radius in the reduced variants")
    discount: float = Field(0.99, gt=0, le=1, description="gamma of the discounted variants")
    requesters: int = Field(4, ge=1, le=100, description="requesters with a selector of their own")
    regret_horizon: int = Field(4000, ge=400, description="steps in the linear world")
    arms: int = Field(5, ge=2, le=1000, description="candidates per step in the linear world")
    dimensions: int = Field(6, ge=1, le=100, description="features in the linear world")
    noise: float = Field(0.3, ge=0, description="standard deviation of the reward in the linear world")
    delay: int = Field(50, ge=0, description="steps by which feedback is late in the delayed variant")
    cost_weight: float = Field(0.3, ge=0, le=1, description="weight of cost in the reward")
    low_cost_weight: float = Field(0.1, ge=0, le=1, description="the lower weight of cost it is compared with")
    latency_weight: float = Field(0.05, ge=0, le=1, description="weight of latency in the cost-aware reward")
    cost_hard_share: float = Field(0.2, ge=0, le=1, description="probability of a hard task in the cost experiment")
    warm_tasks: int = Field(50, ge=1, le=10_000, description="tasks of the cold start")
    bonus: float = Field(0.5, ge=0, le=1, description="winner bonus")
    cold_share: float = Field(0.1, ge=0, lt=1, description="recorded answers: share of problems in the cold phase")
    learn_share: float = Field(0.7, ge=0, lt=1, description="recorded answers: share of problems in the learn phase")
    live_tasks: tuple[str, ...] = Field(
        ("sums", "boolean:depth=1", "lookup:entries=4"), min_length=1, description="tasks of the live team"
    )
    live_each: int = Field(45, ge=2, description="problems from each of those tasks")
    live_cold: int = Field(10, ge=0, description="problems in the live team's cold phase")
    live_learn: int = Field(70, ge=0, description="problems in its learn phase; the rest is the test")
    live_chains: int = Field(3, ge=1, le=10, description="K: chains per question in the variants with chains")
    live_samples: int = Field(1, ge=1, le=10, description="n_cot: answers per sub-task in the variants with chains")
    live_batch: int = Field(8, ge=1, description="questions in work at once: how late feedback is")
    live_tokens: int = Field(24, ge=4, description="longest reply of the live team, in tokens")

    @model_validator(mode="after")
    def _orders(self) -> Config:
        if self.shock_at > self.tasks - recovery.HOLD:
            raise ValueError(f"shock_at must leave {recovery.HOLD} of the {self.tasks} tasks after it")
        if self.cold_share + self.learn_share >= 1:
            raise ValueError("cold_share and learn_share must leave problems for the test")
        if self.live_cold + self.live_learn >= self.live_each * len(self.live_tasks):
            raise ValueError("live_cold and live_learn must leave problems for the test")
        return self

    @property
    def radius(self) -> Radius:
        """The confidence radius at full width."""
        return Radius(self.alpha, self.regularisation, self.norm_bound, self.delta)


def _generators(trial: Trial[Config], *names: str) -> list[np.random.Generator]:
    """One generator per replicate of a vectorised trial; the experiment is named, so experiments can share draws."""
    return [np.random.default_rng(derive(trial.root, *names, seed)) for seed in trial.seeds]


def _setting(config: Config, seeds: int) -> policies.Setting:
    return policies.Setting(
        seeds=seeds,
        profiles=paper_pool(),
        screened=config.screened,
        radius=config.radius,
        reduced=config.reduced,
        discount=config.discount,
        freeze_at=config.shock_at,
        requesters=config.requesters,
    )


def _per_seed(columns: Mapping[str, NDArray[Any]]) -> list[Measurements]:
    """Arrays [S] or [S, n] by metric as one mapping per seed."""
    count = len(next(iter(columns.values())))
    return [{name: values[s] for name, values in columns.items()} for s in range(count)]


def shock_trial(trial: Trial[Config]) -> list[Measurements]:
    """One policy through a shock, on all seeds. The three shocks share their draws, task by task."""
    c, profiles = trial.config, paper_pool()
    draws = draw(_generators(trial, "shock"), c.tasks, len(profiles.names), c.hard_share, c.requesters)
    policy = policies.make_policy(trial.variant, _setting(c, len(trial.seeds)))
    log = simulate(policy, draws, profiles, shock=trial.experiment, shock_at=c.shock_at)
    return _per_seed(recovery.shock_metrics(log, c.shock_at))


def linear_trial(trial: Trial[Config]) -> list[Measurements]:
    """Cumulative pseudo-regret where reward is linear in the features."""
    c = trial.config
    generators = _generators(trial, "linear")
    world = linear_world.draw_world(generators, c.regret_horizon, c.arms, c.dimensions, c.noise)
    regret = linear_world.regret_of(trial.variant, world, c.radius, c.reduced, c.delay)
    quarter, end = regret[:, c.regret_horizon // 4 - 1], regret[:, -1]
    curve = regret[:, np.linspace(0, c.regret_horizon - 1, 100).astype(int)]
    ratio = end / np.maximum(quarter, 1e-9)
    return _per_seed({"regret_ratio": ratio, "regret_quarter": quarter, "regret_end": end, "regret": curve})


COST_VARIANTS: Mapping[str, tuple[str, bool]] = {
    "no cost weight": ("none", True),
    "low cost weight": ("low", True),
    "cost weight": ("high", True),
    "low cost weight" + FULL: ("low", False),
    "cost weight" + FULL: ("high", False),
}
"""Variant -> (weight, whether the radius is reduced); besides them two rules."""


def cost_trial(trial: Trial[Config]) -> list[Measurements]:
    """What a price on cost in the reward does to cost and success, without a shock; identity among the features."""
    c, profiles = trial.config, paper_pool()
    draws = draw(_generators(trial, "cost"), c.tasks, len(profiles.names), c.cost_hard_share, c.requesters)
    setting = _setting(c, len(trial.seeds))
    reward = Reward()
    if trial.variant in COST_VARIANTS:
        level, narrow = COST_VARIANTS[trial.variant]
        weight = {"none": 0.0, "low": c.low_cost_weight, "high": c.cost_weight}[level]
        reward = Reward(weight, c.latency_weight if weight else 0.0)
        policy: Any = policies.Bandit(setting, scale=c.reduced if narrow else 1.0, identity=True)
    else:
        policy = policies.make_policy(trial.variant, setting)
    log = simulate(policy, draws, profiles, reward=reward)
    return _per_seed(
        {
            "success": log.success.mean(axis=1),
            "cost_per_correct": log.cost.sum(axis=1) / np.maximum(log.success.sum(axis=1), 1),
            "cost": log.cost.mean(axis=1),
            "latency_ms": log.latency_ms.mean(axis=1),
        }
    )


def cold_trial(trial: Trial[Config]) -> list[Measurements]:
    """Ways to start, measured on the same tasks after the warm-up."""
    c, profiles = trial.config, paper_pool()
    name, full = trial.variant.removesuffix(FULL), trial.variant.endswith(FULL)
    agents = len(profiles.names)
    before = draw(_generators(trial, "warm-up"), c.warm_tasks, agents, c.hard_share, c.requesters)
    draws = draw(_generators(trial, "start"), 3 * FIRST, agents, c.hard_share, c.requesters)
    scale = 1.0 if full else c.reduced
    log = warmup.start_and_run(name, _setting(c, len(trial.seeds)), profiles, before, draws, scale)
    return _per_seed(
        {
            "success_first_100": log.success[:, :FIRST].mean(axis=1),
            "success_next_200": log.success[:, FIRST:].mean(axis=1),
        }
    )


def agreement_trial(trial: Trial[Config]) -> list[Measurements]:
    """What the bandit learns from votes when wrong agents agree."""
    c = trial.config
    name, _, rho = trial.variant.partition(", rho=")
    competence = np.array([0.85, 0.4, 0.4, 0.4, 0.4])
    answers = agreement.draw_answers(_generators(trial, "agreement"), c.tasks, competence, float(rho))
    radius = Radius(c.alpha, c.regularisation, c.norm_bound, c.delta, c.reduced)
    log = agreement.run_agreement(name, answers, radius, c.bonus)
    late = c.tasks // 2
    return _per_seed(
        {
            "vote_right_late": log.voted_right[:, late:].mean(axis=1),
            "strong_first_late": log.first_strong[:, late:].mean(axis=1),
            "bonuses_for_wrong": log.rewarded_wrong,
            "width_at_end": log.width,
        }
    )


def recorded_trial(trial: Trial[Config]) -> Measurements:
    """One policy on one split of the 1,319 problems, by recorded answers."""
    c, log = trial.config, replay.gsm8k_log()
    assert log is not None
    parts = replay.split(len(log.difficulty), trial.rng("split"), (c.cold_share, c.learn_share))
    if trial.variant in replay.ROUTED:
        settings = RouterSettings(screened=c.screened, radius=c.radius, winner_bonus=c.bonus)
        played = replay.play_routed(
            trial.variant, log, parts, replay.routed_settings(trial.variant, settings, c.reduced)
        )
    else:
        played = replay.play_baseline(trial.variant, log, parts, trial.rng("choice"))
    strongest = int(log.correct.mean(axis=1).argmax())
    return {
        "correct": played.correct.astype(float),
        "problem": parts.test.astype(float),
        "calls": played.calls,
        "training_calls": float(played.training_calls),
        "strongest_share": float((played.chosen == strongest).mean()),
    }


async def live_trial(trial: Trial[Config]) -> Measurements:
    """One policy with five personas on the run's model, through cold start, learning and test."""
    from shoal.models.embedders import CharacterNgrams
    from shoal.tasks.catalogue import open_task
    from shoal.tasks.problem import Question, answer_key
    from shoal.teams.session import Session

    c = trial.config
    pools = [open_task(spec).problems(c.live_each, trial.derive("problems", spec)) for spec in c.live_tasks]
    plan = live.course(pools, c.live_cold, c.live_learn, trial.rng("order"))
    model = trial.need_model(answer_key([*plan.cold, *plan.learn, *plan.test]))

    def open_session(question: Question) -> Session:
        return Session(
            model=model,
            question=question,
            trace=trial.trace,
            seed=trial.derive("session", question.id),
            max_tokens=c.live_tokens,
        )

    tested = await live.run_course(
        trial.variant,
        plan,
        open_session,
        trial.rng("choice"),
        settings=RouterSettings(screened=c.screened, samples=c.live_samples, radius=c.radius, winner_bonus=c.bonus),
        chains=c.live_chains,
        batch=c.live_batch,
        reduced=c.reduced,
        embedder=CharacterNgrams(),
    )
    return {
        "correct": tested.correct.astype(float),
        "calls": tested.calls,
        "training_calls": float(tested.training_calls),
        "failures": float(tested.failures),
    }


def _over(
    results: Results, experiment: str, treatment: str, baselines: Sequence[str], metric: str, above: float = 0.0
) -> list[Check]:
    """Checks that a variant exceeds each baseline by ``above``, paired by seed; none where one was not measured."""
    checks = [
        Check(
            f"{experiment}: {treatment} - {baseline}, {metric}",
            results.difference(experiment, treatment, baseline, metric),
            above=above,
            needs=20,
        )
        for baseline in baselines
        if results.has(experiment, treatment, metric) and results.has(experiment, baseline, metric)
    ]
    return checks if len(checks) == len(baselines) else []


def _adapts(r: Results) -> list[Check]:
    rivals = ["static rule", "random", "random in top L"]
    checks = _over(r, "unavailable", "linucb", rivals, "success_after")
    if not checks or not r.has("unavailable", "frozen"):
        return []
    collapse = Check("frozen, success_after", r.mean("unavailable", "frozen", "success_after"), below=0.1, needs=20)
    return [*checks, collapse]


def _narrow(r: Results) -> list[Check]:
    pairs = [(e, m) for e in ("unavailable", "degraded") for m in ("success_before", "success_after")]
    checks = [_over(r, e, "linucb reduced", ["linucb"], m) for e, m in pairs]
    return [c for part in checks for c in part] if all(checks) else []


def _tie(r: Results) -> list[Check]:
    gaps = _over(r, "degraded", "linucb", ["random"], "success_after", above=-0.03)
    return [replace(gap, below=0.03) for gap in gaps]


def _sublinear(r: Results) -> list[Check]:
    if not r.has("linear", "linucb") or not r.has("linear", "random"):
        return []
    ours, chance = (r.mean("linear", v, "regret_ratio") for v in ("linucb", "random"))
    return [
        Check("linucb, R(T)/R(T/4)", ours, below=2.6, needs=20),
        Check("random, R(T)/R(T/4)", chance, above=3.5, below=4.5, needs=20),
    ]


def _cheaper(r: Results) -> list[Check]:
    ours, strong = (r.values("cost", v, "cost_per_correct") for v in ("cost weight", "always strongest"))
    if ours.size == 0 or ours.size != strong.size:
        return []
    fall = Check("fall of cost per correct answer", mean(1 - ours / strong), above=0.30, needs=20)
    return [fall, *_over(r, "cost", "low cost weight", ["cost weight"], "success")]


def _problems(r: Results, treatment: str, baseline: str, above: float) -> list[Check]:
    """Difference on recorded problems, twice: over splits (what the router happened to learn) and over problems (which
    ones the splits share). Both must hold.
    """
    one, seeds = r.items("recorded", treatment, "correct")
    two, others = r.items("recorded", baseline, "correct")
    if one.size == 0 or not np.array_equal(seeds, others):
        return []
    which, _ = r.items("recorded", treatment, "problem")
    gap = clustered_mean(one - two, which)
    by_split = r.difference("recorded", treatment, baseline, "correct")
    return [
        Check(f"{treatment} - {baseline}, accuracy, over splits", by_split, above=above, needs=20),
        Check(f"{treatment} - {baseline}, accuracy, over problems", gap, above=above, needs=100),
    ]


def _items(r: Results, treatment: str, baseline: str) -> list[Check]:
    if not r.has("live", treatment) or not r.has("live", baseline):
        return []
    gap = r.difference("live", treatment, baseline, "correct")
    return [Check(f"{treatment} - {baseline}, accuracy, over runs", gap, above=0.0, needs=5)]


def _rate(experiment: str, variants: Sequence[str], metric: str, above: float) -> Callable[[Results], list[Check]]:
    def checks(r: Results) -> list[Check]:
        return [
            Check(f"{v}, {metric}", r.mean(experiment, v, metric), above=above, needs=20)
            for v in variants
            if r.has(experiment, v, metric)
        ]

    return checks


def _leak(r: Results) -> list[Check]:
    told, silent = (r.values(e, "greedy match", "success_after") for e in ("degraded", "degraded-silent"))
    if told.size == 0 or told.size != silent.size:
        return []
    return [Check("greedy match: told - silent, success_after", mean(told - silent), above=0.0, needs=20)]


def _agreeing(r: Results) -> list[Check]:
    worst, none = f"winners and losers, rho={RHOS[-1]}", f"winners and losers, rho={RHOS[0]}"
    truth = f"truth, rho={RHOS[-1]}"
    return [
        *_over(r, "agreement", worst, [none], "bonuses_for_wrong"),
        *_over(r, "agreement", truth, [worst], "vote_right_late"),
    ]


def _twice(r: Results) -> list[Check]:
    once, twice = (f"{name}, rho={RHOS[0]}" for name in ("summed once", "counted twice"))
    return [
        *_over(r, "agreement", once, [twice], "width_at_end"),
        *_over(r, "agreement", once, [twice], "vote_right_late"),
    ]


def _start(id: str, statement: str, treatment: str, baseline: str = "no warm-up", note: str = "") -> Claim:
    """A claim on the first 100 tasks after a way to start."""
    experiment = "cold-start"
    return Claim(
        id, statement, experiment, lambda r: _over(r, experiment, treatment, [baseline], "success_first_100"), note
    )


CLAIMS = (
    Claim(
        "1-adapts",
        "When the strongest agent fails, LinUCB beats static, random and random-top-L routing, and LinUCB that no "
        "longer learns collapses (success below 0.1).",
        "unavailable",
        _adapts,
    ),
    Claim(
        "2-radius",
        "A tenth of the theoretical radius is at least as good as all of it, before and after either shock.",
        "unavailable",
        _narrow,
        "The theoretical radius over-explores in 1,000 tasks.",
    ),
    Claim(
        "2b-tie",
        "At the full radius LinUCB ties with random choice (within 0.03) after A is degraded.",
        "degraded",
        _tie,
        "A negative of the page: reproduced means that the theory's radius buys nothing there.",
    ),
    Claim(
        "3-regret",
        "Where reward is linear in the features, regret grows sublinearly: R(T)/R(T/4) < 2.6, about 4 for random.",
        "linear",
        _sublinear,
    ),
    Claim(
        "4-cost",
        "Cost in the reward lowers the cost per correct answer by at least 30% against always asking the strongest, "
        "and the price in success shrinks with the weight.",
        "cost",
        _cheaper,
        "The price in success is in the table: always strongest, no, low and full cost weight.",
    ),
    _start(
        "5-warm-up", "A warm-up that rewards success raises success in the first 100 tasks (radius x0.1).", "warm-up"
    ),
    _start("5b-warm-up-full", "The same at the full radius.", "warm-up" + FULL, "no warm-up" + FULL),
    _start(
        "5c-priors", "The warm-up's bucket priors by themselves raise success in the first 100 tasks.", "priors only"
    ),
    _start(
        "5d-format",
        "The paper's warm-up reward (a well-formed reply, minus latency) raises success in the first 100 tasks.",
        "format reward",
        note="Form does not tell right from wrong, and latency favours the weak and fast agents of this pool.",
    ),
    _start(
        "5e-same-tasks",
        "A round-robin warm-up is better in the first 100 tasks than as many tasks of LinUCB's own choices.",
        "warm-up",
        "same tasks, own choices",
        "The equal-budget control that the paper lacks.",
    ),
    Claim(
        "6-recovery",
        "LinUCB recovers from the failure of the strongest agent within 50 tasks (most runs; README).",
        "unavailable",
        _rate("unavailable", ["linucb", "linucb reduced"], "recovered_in_50", 0.5),
        "Cannot hold here: the oracle does not come back to 90% of the old level either.",
    ),
    Claim(
        "6b-attainable",
        "Most runs reach 90% of what the pool still offers within 50 tasks.",
        "unavailable",
        _rate("unavailable", ["linucb reduced"], "attainable_in_50", 0.5),
        "The rolling success looks back over 50 tasks, so that the oracle needs about as many.",
    ),
    Claim(
        "7-leak",
        "Lowering A's advertised match with its competence tells greedy matching about the shock.",
        "degraded",
        _leak,
    ),
    Claim(
        "8-requesters",
        "One selector for all does better after the shock than one per requester (radius x0.1).",
        "unavailable",
        lambda r: _over(r, "unavailable", "linucb reduced", ["per requester reduced"], "success_after"),
        "What sharing the selector is worth; the paper's 'decentralised' system shares it.",
    ),
    Claim(
        "9-agreement",
        "The winner bonus rewards agreement: with correlated errors more bonuses go to wrong answers, and the vote is "
        "worse than with rewards from the truth.",
        "agreement",
        _agreeing,
    ),
    Claim(
        "10-twice",
        "Two updates for one event narrow the confidence width beyond the evidence and lower the vote's accuracy.",
        "agreement",
        _twice,
    ),
    Claim(
        "11-recorded",
        "Routed by feedback, one of four real models is better than a random one at equal calls.",
        "recorded",
        lambda r: _problems(r, "routed, truth", "random", 0.0),
        "The four differ in strength, not in kind: the best that routing can learn here is to prefer the strongest.",
    ),
    Claim(
        "11b-votes",
        "It is better than the majority of all four, at a quarter of the calls.",
        "recorded",
        lambda r: _problems(r, "routed, truth", "vote of all", 0.0),
    ),
    Claim(
        "11c-strongest",
        "It comes within 0.03 of the strongest model, which is known in hindsight only.",
        "recorded",
        lambda r: _problems(r, "routed, truth", "strongest in hindsight", -0.03),
    ),
    Claim(
        "11e-identity",
        "Identity among the features helps to tell the models apart.",
        "recorded",
        lambda r: _problems(r, "routed, truth, identity", "routed, truth", 0.0),
        "Without it the shared weights settle on a weaker model in some splits.",
    ),
    Claim(
        "11d-agreement",
        "Agreement with the vote is as good a reward as the truth (within 0.03) on real models' answers.",
        "recorded",
        lambda r: _problems(r, "routed, agreement", "routed, truth", -0.03),
    ),
    Claim(
        "12-live",
        "Routed among five personas of one model, one call is better than one to a random persona (paper's features).",
        "live",
        lambda r: _items(r, "routed", "random"),
        "Problems of a run share what its router learned, so the interval is over runs.",
    ),
    Claim(
        "12b-live-identity",
        "The same with identity among the features and a tenth of the radius.",
        "live",
        lambda r: _items(r, "routed, reduced, identity", "random"),
    ),
)


TWENTY = {"quick": 20, "standard": 20, "full": 100}
HUNDRED = {"quick": 20, "standard": 100, "full": 400}
COLD_VARIANTS = (*warmup.STARTS, *(name + FULL for name in warmup.STARTS))
AGREEMENT_VARIANTS = tuple(f"{name}, rho={rho}" for rho in RHOS for name in agreement.FEEDBACK)

STUDY = Study(
    name="symphony-coord",
    title="Symphony-Coord: beacon, screen and LinUCB routing among unequal agents",
    paper="arXiv 2602.00966 (2026)",
    kind="team",
    engine="teams",
    summary=(
        "Sub-tasks are routed to one of several unequal agents: agents bid, a screen keeps the best few, LinUCB picks, "
        "and rewards arrive after the vote. Tested in the paper's shock simulator, in a linear world, on four real "
        "models' recorded answers, and on personas of the run's model."
    ),
    mechanism=flows(
        "planners -> sub-task -> beacon -> screen -(best L)-> LinUCB -(picks)-> agent -(fit, load)-> beacon",
        "agent -> answers -> votes -(delayed reward)-> LinUCB",
    ),
    config=Config,
    experiments=(
        *(
            Experiment(name, shock_trial, tuple(policies.POLICIES), seeds=TWENTY, vectorised=True)
            for name in ("unavailable", "degraded", "degraded-silent")
        ),
        Experiment("linear", linear_trial, tuple(linear_world.POLICIES), seeds=TWENTY, vectorised=True),
        Experiment("cost", cost_trial, ("always strongest", "random", *COST_VARIANTS), seeds=TWENTY, vectorised=True),
        Experiment("cold-start", cold_trial, COLD_VARIANTS, seeds=HUNDRED, vectorised=True),
        Experiment("agreement", agreement_trial, AGREEMENT_VARIANTS, seeds=TWENTY, vectorised=True),
        Experiment(
            "recorded", recorded_trial, (*replay.ROUTED, *replay.BASELINES), evidence=Evidence.RECORDED,
            seeds={"quick": 2, "standard": 20, "full": 50}, skip=lambda config: replay.no_recordings(),
        ),
        Experiment("live", live_trial, live.LIVE_POLICIES, seeds={"quick": 1, "standard": 5, "full": 10}, model=True),
    ),
    claims=CLAIMS,
    sizes={
        "quick": {"regret_horizon": 2000, "live_each": 6, "live_cold": 5, "live_learn": 6},
        "full": {"live_each": 100, "live_cold": 20, "live_learn": 180},
    },
    vocabulary=Vocabulary(
        actors=("agents", "router"),
        type=("cooperation",),
        structure=("centralized", "decentralized"),
        strategy=("role-based", "model-based"),
        protocol=("report",),
    ),
    plots=figures.figures,
)  # fmt: skip
