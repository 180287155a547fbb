"""Advantage Alignment: policies that cooperate with cooperators and stand firm against greed (arXiv 2511.19405).

What is here: the credit, the leave-one-out baseline, the pool of past policies and the three games, with tables as
policies and all seeds in one program: the iterated dilemma, Split without talk, and Trust-and-Split with a channel of
three symbols. Trainers beside the method: own reward (naive), sum of rewards, the weight of the past dealt to other
games, no pool, no group baseline of its own (the whole batch is one group). Fixed opponents are strategies written
down. The dilemma is played by recurrent networks too, and in words by language models, which ``train-team
advantage-alignment`` trains: a tiny transformer over characters (0.02 M parameters, whole network) and SmolLM2-135M
(adapters of rank 8 on its last ten layers).

Departures: tables of 5 to a few hundred numbers, and models of 0.02 to 135 M parameters instead of 7 B; REINFORCE with
Adam at the page's own settings (batch 128, rate 0.03, friendly start 0.8 in the dilemma, entropy 0.01). A round of
Trust-and-Split is word, then claim, in one step, as the method merges them. Strength 1 in the dilemma (the paper's 0.5
is an arm: the page found only partial cooperation), 2 in Trust-and-Split, 1 in Split.

Recurrent players: friendly by construction, the output being its bias at first. Settings were chosen on keys of no
study (5000 to 5007): strength 1 let 2 of 8 players of width 8 fall into defection (7 of 8 of width 16), strength 2
none, so 2 is the default, from within the page's range, and strength 1 an arm. Language models got it from there.

Language models: replies are one token, held to A and B, with the log-probabilities of that choice. 64 games of ten
rounds make a group. Prompts tell rules, goal and the last round, so that a player is five chances, and payoffs are
computed from them exactly. The friendly start is made: tiny transformers imitate an answer of A with chance 0.8 in
every state, and besides answer questions on who did what in the last round (one that could not tell ended as a
cooperator without condition); SmolLM2 takes at most 30 steps towards that chance on its adapter, which also make the
form of the answer known. Rates and numbers of updates were chosen on seeds 5000 to 5003 (tiny: at 3e-4 the opening
move, which shares features with what answers a defection, falls with it in some and comes back later; at 1e-3 all is
lost) and on one run of SmolLM2, made friendly at twice the rate, which ended in tit for tat. The recorded ones, and
some tiny ones, end in cooperation without condition: where nobody defects any more, the past policies included, nothing
is left from which an answer to it could be learned. Nothing holds down tokens that are not allowed, so free replies
drift away from the two letters (``outside the choices``): tiny players play only where they are held to them. In a
pilot with free replies the same drift stopped the learning, an unreadable reply being as good as a defection.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from shoal.models.causal.network import lacking_packages
from shoal.models.causal.pulled import lacking_pulled
from shoal.runs.checks import Checks, all_of
from shoal.runs.mechanism import flows
from shoal.runs.results import Results
from shoal.runs.study import Claim, Experiment, Study, StudyConfig, Trial, Vocabulary
from shoal.stats import Check, Evidence, exact, mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ALIGNED, HALF, NAIVE, SUM, SHUFFLED, ALONE = (
    "Advantage Alignment", "Advantage Alignment, beta 0.5", "naive (own reward)", "sum of rewards",
    "weights shuffled across games", "Advantage Alignment, no pool",
)  # fmt: skip
ARMS = (ALIGNED, HALF, NAIVE, SUM, SHUFFLED, ALONE)
WEAK = "Advantage Alignment, beta 1"
"""What the tables learn with, where the default is 2."""
RECURRENT = (ALIGNED, WEAK, NAIVE, SUM, SHUFFLED)
TINY = (ALIGNED, NAIVE, SUM, SHUFFLED)
SMOLLM2 = (ALIGNED, NAIVE)
PLAYERS = ("recurrent", "tiny", "smollm2")
"""Experiments with other players than tables."""
TALK, MUTED = "Advantage Alignment", "Advantage Alignment, muted"
NAIVE_TALK, SUM_TALK = "naive", "sum of rewards"
STATES = (", start", " after CC", " after CD", " after DC", " after DD")
ROUNDS = 10
"""Of a dilemma."""
PAID = ("self-play", "against always defect", "against always cooperate")
"""Payoffs in a round of players other than tables."""
GREEDY = 55.0
"""Joint payoff of a round of Trust-and-Split in which both claim all ten coins."""


class AlignmentConfig(StudyConfig):
    """Settings of the Advantage Alignment study."""

    games: int = Field(128, ge=4, le=65_536, description="Games in one update, B")
    updates: int = Field(2000, ge=10, le=1_000_000, description="Updates in the dilemma")
    talk_updates: int = Field(2000, ge=10, le=1_000_000, description="Updates in the splits")
    newcomer_updates: int = Field(
        1000, ge=10, le=1_000_000, description="Updates of a newcomer against a frozen policy"
    )
    rate: float = Field(0.03, gt=0, le=1, description="Learning rate of Adam")
    entropy: float = Field(0.01, ge=0, le=1, description="Weight of the entropy bonus")
    strength: float = Field(1.0, ge=0, le=100, description="beta in the dilemma and in Split")
    talk_strength: float = Field(2.0, ge=0, le=100, description="beta in Trust-and-Split")
    discount: float = Field(0.9, ge=0, le=1, description="g in the dilemma and in Split")
    talk_discount: float = Field(0.96, ge=0, le=1, description="g in Trust-and-Split")
    group: int = Field(8, ge=1, le=1024, description="Games of a group in the splits")
    evaluation: int = Field(512, ge=16, le=1_000_000, description="Games of each evaluation")
    recurrent_updates: int = Field(2000, ge=10, le=1_000_000, description="Updates of recurrent players")
    recurrent_rate: float = Field(0.003, gt=0, le=1, description="Their learning rate")
    width: int = Field(8, ge=1, le=1024, description="Of their hidden state")
    language_strength: float = Field(2.0, ge=0, le=100, description="beta of recurrent players and language models")
    language_games: int = Field(64, ge=4, le=4096, description="Games of language models in one update")
    tiny_lessons: int = Field(5, ge=0, le=100, description="Most lessons of the tiny transformer before training")
    tiny_updates: int = Field(200, ge=2, le=100_000, description="Its updates")
    tiny_rate: float = Field(3e-4, gt=0, le=1, description="Its learning rate")
    smollm2_updates: int = Field(40, ge=0, le=100_000, description="Updates of SmolLM2; 0 leaves it out")
    smollm2_rate: float = Field(1e-3, gt=0, le=1, description="Its learning rate")


def dilemma(trial: Trial[AlignmentConfig]) -> dict[str, list[dict[str, float]]]:
    """All trainers and seeds in one program: self-play, fixed opponents, what was learned, a newcomer against it."""
    import jax

    from shoal.posttrain.advantage_alignment import NAIVE as OWN
    from shoal.posttrain.advantage_alignment import Settings, payoffs, train
    from shoal.posttrain.problems.bargaining import ALWAYS_COOPERATE, ALWAYS_DEFECT, TIT_FOR_TAT, Dilemma, fixed

    c, game = trial.config, Dilemma()
    settings = Settings(
        discount=c.discount, weight_discount=c.discount, group=c.games, games=c.games, updates=c.updates, rate=c.rate,
        entropy=c.entropy,
    )  # fmt: skip
    arms = _stacked([_credit(name, c.strength) for name in ARMS])
    keys, eval_keys = _keys(trial, "training"), _keys(trial, "evaluation")
    learn = jax.vmap(jax.vmap(lambda credit, key: train(game, settings, credit, key)[0], (None, 0)), (0, None))
    policies = jax.jit(learn)(arms, keys)
    newcomer = replace(settings, updates=c.newcomer_updates)
    meet = jax.vmap(
        jax.vmap(lambda key, other: train(game, newcomer, OWN._replace(pool=0.0), key, other)[0]), (None, 0)
    )
    fresh = jax.jit(meet)(_keys(trial, "newcomer"), policies)

    def against(own: Any, key: Any, other: Any) -> Any:
        return payoffs(game, own, other, c.evaluation, key)

    every = jax.jit(jax.vmap(jax.vmap(against), (0, None, 0)))
    strategies = {"always defect": ALWAYS_DEFECT, "always cooperate": ALWAYS_COOPERATE, "tit for tat": TIT_FOR_TAT}
    paid = {f"against {n}": every(policies, eval_keys, _like(fixed(s), policies)) for n, s in strategies.items()}
    own, met = np.asarray(every(policies, eval_keys, policies)), np.asarray(every(policies, eval_keys, fresh))
    chance = np.asarray(jax.nn.sigmoid(policies))
    found: dict[str, list[dict[str, float]]] = {}
    for a, name in enumerate(ARMS):
        found[name] = [
            {
                "self-play": float(own[a, s].mean()), **{what: float(x[a, s, 0]) for what, x in paid.items()},
                **{f"P(C){when}": float(chance[a, s, i]) for i, when in enumerate(STATES)},
                "newcomer earns": float(met[a, s, 1]), "it earns from the newcomer": float(met[a, s, 0]),
                "share of the newcomer's": float(met[a, s, 0] / max(met[a, s, 1], 1e-9)),
            }
            for s in range(len(trial.seeds))
        ]  # fmt: skip
    return found


def recurrent(trial: Trial[AlignmentConfig]) -> dict[str, list[dict[str, float]]]:
    """Recurrent players in the dilemma, all trainers and seeds in one program."""
    import jax

    from shoal.posttrain.advantage_alignment import Settings, payoffs, train
    from shoal.posttrain.problems.recurrent_bargaining import RecurrentDilemma, always, chance_after

    c = trial.config
    game = RecurrentDilemma(c.width)
    settings = Settings(
        discount=c.discount, weight_discount=c.discount, group=c.games, games=c.games, updates=c.recurrent_updates,
        rate=c.recurrent_rate, entropy=c.entropy,
    )  # fmt: skip

    def learn(credit: Any, key: Any, eval_key: Any) -> dict[str, Any]:
        own, _ = train(game, settings, credit, key)
        rivals = (own, always(own, False), always(own, True))
        after = {" after three CC": (1, 1, 1), " after CC, CC, CD": (1, 1, 2), ", start": ()}
        return {
            **{what: payoffs(game, own, r, c.evaluation, eval_key)[0] for what, r in zip(PAID, rivals, strict=True)},
            **{f"P(C){when}": chance_after(own, rounds) for when, rounds in after.items()},
        }

    arms = _stacked([_credit(name, 1.0 if name == WEAK else c.language_strength) for name in RECURRENT])
    every = jax.jit(jax.vmap(jax.vmap(learn, (None, 0, 0)), (0, None, None)))
    found = {k: np.asarray(x) for k, x in every(arms, _keys(trial, "training"), _keys(trial, "evaluation")).items()}
    return {
        name: [{what: float(x[a, s]) for what, x in found.items()} for s in range(len(trial.seeds))]
        for a, name in enumerate(RECURRENT)
    }


def tiny(trial: Trial[AlignmentConfig]) -> dict[str, dict[str, Any]]:
    """A tiny transformer that plays the dilemma in words; every trainer begins with the same friendly one."""
    from shoal.posttrain.policies import make_policies
    from shoal.posttrain.problems.friendly_players import friendly_tiny, reads

    c = one_core(trial)
    network, tokenizer = friendly_tiny(trial.derive("friendly"), lessons=c.tiny_lessons)
    player = make_policies(["player"], network, tokenizer)["player"]
    found = _language(trial, player, TINY, c.tiny_updates, c.tiny_rate)
    return {name: {**row, "reads the last round": reads(network, tokenizer)} for name, row in found.items()}


def smollm2(trial: Trial[AlignmentConfig]) -> dict[str, dict[str, Any]]:
    """SmolLM2 with adapters on its last ten layers, made friendly first; every trainer begins there."""
    from shoal.models.causal.network import load_base
    from shoal.posttrain.policies import Lora, make_policies
    from shoal.posttrain.problems.friendly_players import LAYERS, befriend, chosen

    c, (network, tokenizer) = one_core(trial), load_base("local:smollm2")
    player = chosen(make_policies(["player"], network, tokenizer, Lora(targets=LAYERS), trial.seed)["player"])
    befriend(player)
    return _language(trial, player, SMOLLM2, c.smollm2_updates, c.smollm2_rate)


def one_core(trial: Trial[AlignmentConfig]) -> AlignmentConfig:
    """The config, after torch was told to leave other cores to other trials."""
    import torch

    torch.set_num_threads(1)
    return trial.config


def _language(
    trial: Trial[AlignmentConfig], player: Any, variants: tuple[str, ...], updates: int, rate: float
) -> dict[str, dict[str, Any]]:
    """A language model after training with each trainer, from the same parameters, and what it is then."""
    import torch

    from shoal.posttrain.aligned_players import AdvantageAlignment
    from shoal.posttrain.problems.friendly_players import chances, chosen
    from shoal.posttrain.problems.repeated_games import Dilemma, open_players

    c, plan, found = trial.config, open_players("players"), dict[str, dict[str, Any]]()
    friendly = [tensor.detach().clone() for tensor in player.parameters()]
    for variant in variants:
        with torch.no_grad():
            for tensor, value in zip(player.parameters(), friendly, strict=True):
                tensor.copy_(value)
        credit = _credit(variant, c.language_strength)
        method = AdvantageAlignment(
            trainer="sum" if credit.other else "aligned", strength=credit.strength, shuffled=credit.shuffled > 0,
            pool=credit.pool, group=c.language_games, learning_rate=rate, entropy=c.entropy, discount=c.discount,
            weight_discount=c.discount, piece=512,
        )  # fmt: skip
        before = chances(chosen(player))
        seats = {agent.name: player for agent in plan.agents}
        trainer = method.training(plan.run, plan.agents, seats, Dilemma(), trial.derive("training") % 2**31, None)
        trainer.train(updates)
        found[variant] = {
            **_standing(chances(chosen(player))), "P(C) before": float(before.mean()),
            "outside the choices": trainer.history[-1]["outside"],
            "course": [row["reward"] for row in trainer.history],
        }  # fmt: skip
    return found


def _standing(chance: Any) -> dict[str, float]:
    """What a player earns in the dilemma with these chances to cooperate, and the chances."""
    from shoal.posttrain.problems.friendly_players import expected_points

    rivals = (chance, [0.0] * len(STATES), [1.0] * len(STATES))
    return {
        **{what: expected_points(chance, other, ROUNDS)[0] for what, other in zip(PAID, rivals, strict=True)},
        **{f"P(C){when}": float(p) for when, p in zip(STATES, chance, strict=True)},
    }


def no_smollm2(config: AlignmentConfig) -> str | None:
    """Why SmolLM2 is not trained, if it is not."""
    return lacking_pulled("smollm2") if config.smollm2_updates else "the quick size leaves SmolLM2 out"


def splits(trial: Trial[AlignmentConfig]) -> dict[str, list[dict[str, Any]]]:
    """All trainers and seeds in Trust-and-Split (experiment ``talk``) or Split."""
    import jax

    from shoal.posttrain.problems.bargaining import Split, TrustAndSplit

    c, talk = trial.config, trial.experiment == "talk"
    names = (TALK, NAIVE_TALK, SUM_TALK)
    arms = _stacked([_credit(name, c.talk_strength if talk else c.strength) for name in names])
    found = dict(zip(names, _split(trial, TrustAndSplit() if talk else Split(), arms), strict=True))
    if talk:
        alone = jax.tree.map(lambda x: x[:1], arms)
        (found[MUTED],) = _split(trial, TrustAndSplit(muted=True), alone)
    return found


def _split(trial: Trial[AlignmentConfig], game: Any, arms: Any) -> list[list[dict[str, Any]]]:
    """Joint payoffs of arms and seeds after training, and along it."""
    import jax

    from shoal.posttrain.advantage_alignment import Settings, payoffs, train

    c, talk = trial.config, trial.experiment == "talk"
    discount = c.talk_discount if talk else c.discount
    settings = Settings(
        discount=discount, weight_discount=discount, group=c.group, games=c.games, updates=c.talk_updates, rate=c.rate,
        entropy=c.entropy,
    )  # fmt: skip

    def learn(credit: Any, key: Any, eval_key: Any) -> Any:
        policy, paid = train(game, settings, credit, key)
        return payoffs(game, policy, policy, c.evaluation, eval_key), paid

    every = jax.jit(jax.vmap(jax.vmap(learn, (None, 0, 0)), (0, None, None)))
    pay, course = (np.asarray(x) for x in every(arms, _keys(trial, "training"), _keys(trial, "evaluation")))
    step = max(1, c.talk_updates // 50)
    return [
        [{"joint payoff": float(p.sum()), "course": 2 * along[::step]} for p, along in zip(pays, courses, strict=True)]
        for pays, courses in zip(pay, course, strict=True)
    ]


def _credit(name: str, strength: float) -> Any:
    """The credit of an arm."""
    from shoal.posttrain.advantage_alignment import NAIVE as OWN
    from shoal.posttrain.advantage_alignment import SUM as BOTH
    from shoal.posttrain.advantage_alignment import Credit

    own = {NAIVE: OWN, NAIVE_TALK: OWN, SUM: BOTH, SUM_TALK: BOTH, HALF: Credit(0.5)}
    if name == SHUFFLED:
        return Credit(strength, shuffled=1.0)
    return Credit(strength, pool=0.0) if name == ALONE else own.get(name, Credit(strength))


def _stacked(credits: list[Any]) -> Any:
    """Credits of several arms as one, arrays [arms]."""
    import jax.numpy as jnp

    return type(credits[0])(*(jnp.array(column, float) for column in zip(*credits, strict=True)))


def _like(policy: Any, policies: Any) -> Any:
    """One policy for every arm and seed."""
    import jax.numpy as jnp

    return jnp.broadcast_to(policy, policies.shape)


def _keys(trial: Trial[AlignmentConfig], *names: str) -> Any:
    """A key for each seed, the same for all arms."""
    import jax
    import jax.numpy as jnp

    numbers = [number % 2**31 for number in trial.derive_each(*names)]
    return jax.vmap(jax.random.key)(jnp.array(numbers))


def _value(experiment: str, variant: str, metric: str, **region: float) -> Checks:
    """The mean over seeds lies in a region."""

    def checks(results: Results) -> list[Check]:
        found = results.values(experiment, variant, metric)
        return [Check(f"{variant}: {metric}", mean(found), **region)] if found.size else []  # type: ignore[arg-type]

    return checks


def _every(metric: str, experiment: str = "dilemma", **region: float) -> Checks:
    """Holds in every seed of the method."""

    def checks(results: Results) -> list[Check]:
        found = results.values(experiment, ALIGNED, metric)
        if not found.size:
            return []
        worst = float(found.min() if "above" in region else found.max())
        return [Check(f"{metric}: worst seed", exact(worst, found.size), **region)]  # type: ignore[arg-type]

    return checks


def _more(experiment: str, one: str, two: str, metric: str) -> Checks:
    """One has more than two."""

    def checks(results: Results) -> list[Check]:
        if not results.has(experiment, one) or not results.has(experiment, two):
            return []
        return [Check(f"{metric}: {one} - {two}", results.difference(experiment, one, two, metric), above=0.0)]

    return checks


def plots(results: Results) -> dict[str, Figure]:
    """Payoffs in the dilemma, what was learned, and joint payoffs of the splits along the training."""
    from shoal.runs.plots import bars, new_figure

    figures: dict[str, Figure] = {}
    if results.has("dilemma"):
        figures["dilemma"], axes = new_figure(4)
        for ax, metric in zip(
            axes, ("self-play", "against always defect", "P(C) after CC", "P(C) after CD"), strict=True
        ):
            bars(ax, results, "dilemma", metric)
    for name in filter(results.has, PLAYERS):
        figures[name], axes = new_figure(3)
        for ax, metric in zip(axes, PAID, strict=True):
            bars(ax, results, name, metric)
    found = [e for e in ("talk", "split") if results.has(e)]
    if found:
        figures["splits"], axes = new_figure(len(found))
        for ax, experiment in zip(axes, found, strict=True):
            for variant in results.variants(experiment):
                values, seeds = results.items(experiment, variant, "course")
                rows = values.reshape(np.unique(seeds).size, -1)
                ax.plot(np.linspace(0, 1, rows.shape[1]), rows.mean(0), label=variant, linewidth=1.2)
            ax.set(xlabel="share of training", ylabel="joint payoff of a round", title=experiment)
            ax.legend(fontsize=6, frameon=False)
    return figures


def _claims(experiment: str, who: str, shuffled: bool = True) -> tuple[Claim, ...]:
    """Claims 1 to 3 of the page on other players than tables."""
    own = [
        Claim(f"{experiment}-naive", f"{who}: trained on own reward they end in defection (self-play below 1.3)",
              experiment, _value(experiment, NAIVE, "self-play", below=1.3)),
        Claim(f"{experiment}-aligned", f"{who}: Advantage Alignment ends in cooperation (self-play above 2.3)",
              experiment, _value(experiment, ALIGNED, "self-play", above=2.3)),
        Claim(f"{experiment}-firm", f"{who}: it gets more than 0.8 from one who always defects", experiment,
              _value(experiment, ALIGNED, "against always defect", above=0.8)),
    ]  # fmt: skip
    if shuffled:
        own += [
            Claim(f"{experiment}-sum", f"{who}: the sum of rewards gets less than 0.3 there", experiment,
                  _value(experiment, SUM, "against always defect", below=0.3)),
            Claim(f"{experiment}-shuffled", f"{who}: with the weights of the past shuffled they end in defection "
                  "(below 1.3)", experiment, _value(experiment, SHUFFLED, "self-play", below=1.3)),
        ]  # fmt: skip
    return tuple(own)


# fmt: off
EXPERIMENTS = (
    Experiment("dilemma", dilemma, ARMS, Evidence.TRAINED, vectorised=True, joint=True),
    Experiment("talk", splits, (TALK, MUTED, NAIVE_TALK, SUM_TALK), Evidence.TRAINED, vectorised=True, joint=True),
    Experiment("split", splits, (TALK, NAIVE_TALK, SUM_TALK), Evidence.TRAINED, vectorised=True, joint=True),
    Experiment("recurrent", recurrent, RECURRENT, Evidence.TRAINED, vectorised=True, joint=True),
    Experiment("tiny", tiny, TINY, Evidence.TRAINED, {"quick": 1, "standard": 5, "full": 10}, joint=True,
               skip=lambda config: lacking_packages()),
    Experiment("smollm2", smollm2, SMOLLM2, Evidence.TRAINED, {"quick": 1, "standard": 3, "full": 10}, joint=True,
               skip=no_smollm2),
)
CLAIMS = (
    Claim("1-naive", "Dilemma: trained on its own reward it ends in defection (self-play below 1.3)",
          "dilemma",
          _value("dilemma", NAIVE, "self-play", below=1.3)),
    Claim("1b-aligned", "Advantage Alignment ends in cooperation (self-play above 2.3)", "dilemma",
          _value("dilemma", ALIGNED, "self-play", above=2.3)),
    Claim("1c-firm", "It gets more than 0.8 from one who always defects, the sum of rewards less than 0.3", "dilemma",
          all_of(_value("dilemma", ALIGNED, "against always defect", above=0.8),
                 _value("dilemma", SUM, "against always defect", below=0.3))),
    Claim("2-policy", "In every seed it cooperates after CC (above 0.8) and not after being exploited (below 0.2)",
          "dilemma", all_of(_every("P(C) after CC", above=0.8), _every("P(C) after CD", below=0.2))),
    Claim("3-shuffled", "With the weights of the past shuffled across games it ends in defection (below 1.3)",
          "dilemma",
          _value("dilemma", SHUFFLED, "self-play", below=1.3)),
    Claim("4-talk", "Trust-and-Split: joint payoff above 55, what two greedy players get", "talk",
          _value("talk", TALK, "joint payoff", above=GREEDY)),
    Claim("4b-naive", "And above that of the naive trainer", "talk", _more("talk", TALK, NAIVE_TALK, "joint payoff")),
    Claim("4c-muted", "With the channel muted it falls", "talk", _more("talk", TALK, MUTED, "joint payoff")),
    Claim("4d-split", "Split without talk: joint payoff above that of the naive trainer", "split",
          _more("split", TALK, NAIVE_TALK, "joint payoff")),
    Claim("5-newcomer", "A naive newcomer against the frozen policy earns less than 3.3, and the policy at least 90% "
          "of what the newcomer earns", "dilemma",
          all_of(_value("dilemma", ALIGNED, "newcomer earns", below=3.3),
                 _value("dilemma", ALIGNED, "share of the newcomer's", above=0.9))),
    Claim("6-pool", "The pool matters: self-play is higher with it", "dilemma",
          _more("dilemma", ALIGNED, ALONE, "self-play"), "Ours; the paper trains with it throughout."),
    *_claims("recurrent", "Dilemma, recurrent players"),
    *_claims("tiny", "Dilemma in words, tiny transformers"),
    Claim("tiny-policy", "Tiny transformers, every seed: cooperation after CC (above 0.8), none after being exploited "
          "(below 0.2)", "tiny",
          all_of(_every("P(C) after CC", "tiny", above=0.8), _every("P(C) after CD", "tiny", below=0.2))),
    *_claims("smollm2", "Dilemma in words, SmolLM2-135M", shuffled=False),
    Claim("smollm2-policy", "SmolLM2, every seed: cooperation after CC (above 0.8), none after being exploited (below "
          "0.2)", "smollm2",
          all_of(_every("P(C) after CC", "smollm2", above=0.8), _every("P(C) after CD", "smollm2", below=0.2))),
)
# fmt: on

STUDY = Study(
    name="advantage-alignment",
    title="Advantage Alignment: learning to cooperate without being exploited",
    paper="arXiv 2511.19405 (2025); base algorithm 2406.14662 (2024)",
    kind="post-training",
    engine="posttrain",
    summary=(
        "One term in the policy gradient raises acts that are good for the other player when the past was good for "
        "oneself. Tested with tables in the iterated dilemma, in Split and in Trust-and-Split with a channel, and in "
        "the dilemma with recurrent players, tiny transformers and SmolLM2, beside training on own rewards and on "
        "their sum, with the ablations that must lose."
    ),
    mechanism=flows(
        "learner -> repeated game -> returns of both -(less the group's mean)-> advantages of both",
        "advantages of both -(own, over the past)-> weight of the past -(times the other's)-> credit",
        "advantages of both -(own)-> credit -(policy gradient)-> learner",
        "learner -(every 10 updates)-> pool of past policies -(as opponents)-> repeated game",
    ),
    config=AlignmentConfig,
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    sizes={
        "quick": {
            "updates": 100,
            "talk_updates": 50,
            "newcomer_updates": 50,
            "games": 32,
            "evaluation": 64,
            "recurrent_updates": 50,
            "language_games": 16,
            "tiny_lessons": 1,
            "tiny_updates": 10,
            "smollm2_updates": 0,
        },
        "full": {"updates": 5000, "talk_updates": 20_000, "newcomer_updates": 3000, "smollm2_updates": 200},
    },
    seeds={"quick": 2, "standard": 10, "full": 20},
    vocabulary=Vocabulary(
        ("players",), ("coopetition",), ("decentralized",), ("model-based",), ("negotiation", "reciprocity")
    ),
    plots=plots,
)
