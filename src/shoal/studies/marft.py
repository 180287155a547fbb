"""MARFT: multi-agent PPO in the order of speaking, with one critic (arXiv 2504.16129).

What is here: the chain bandit (a problem shown to the first agent must come out of the last), solved by tables with
MARFT-A (a reply is an action), MARFT-T (each of its two tokens is one), agent by agent, and beside them a shared return
without a critic, independent PPO (each critic knows its agent's own text and the final outcome, nothing of what comes
between), and a chain whose dependency is cut; exact values for the identity behind the method; and duos of language
models trained by ``shoal.posttrain`` on real text, with the reward shuffled across rollouts as their control: tiny
transformers, and SmolLM2-135M with an adapter for each agent.

Departures: discount 1 between replies (0.99 is an arm); one update on each batch. The tiny duo is a planner and actor
of 0.1 M parameters over characters that can half do the task (the larger of two digits) before the training, because a
reward of 0 teaches nothing; the paper's bases are 1,000 times larger and its gains are on mathematics and code. The
page asks for 200 to 500 updates: the tiny duo makes 120 (40 in a first record, which was too few to tell), that of
SmolLM2 as few as a processor has time for.

The bandit's batch and number of updates are the page's own trial. Sample efficiency is the mean reward over the whole
training; final rewards are not judged, as the page says. Learning rate, entropy bonus and the critic's step were chosen
on other seeds, one setting for all arms: the one with the highest mean reward over arms and lengths. Chains of four and
five agents often end in a convention that takes two problems for one; every arm does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from shoal.models.causal.network import lacking_packages
from shoal.models.causal.pulled import lacking_pulled
from shoal.runs.mechanism import flows
from shoal.runs.results import Results
from shoal.runs.seeds import derive
from shoal.runs.study import Claim, Experiment, Study, StudyConfig, Trial, Vocabulary
from shoal.stats import Check, Evidence, exact, mean

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from shoal.posttrain.policies import Policy

ACTION, TOKEN, SHARED, INDEPENDENT, TURNS, SHORT, CUT = (
    "MARFT-A", "MARFT-T", "shared return, no critic", "independent PPO", "MARFT-A, agent by agent",
    "MARFT-A, discount 0.99", "MARFT-A, dependency cut",
)  # fmt: skip
ARMS = (ACTION, TOKEN, SHARED, INDEPENDENT, TURNS, SHORT, CUT)
AGENTS = (2, 3, 4, 5)
DUO, DUO_TOKEN, DUO_GROUP, DUO_SHUFFLED, DUO_TURNS = (
    "duo, MARFT-A", "duo, MARFT-T", "duo, group-relative (no critic)", "duo, reward shuffled", "duo, agent by agent",
)  # fmt: skip
DUOS = (DUO, DUO_TOKEN, DUO_GROUP, DUO_TURNS, DUO_SHUFFLED)
SEATS = ("agent-1", "agent-2")
SMOLLM2 = "local:smollm2"
CHANCE = 0.25


class MarftConfig(StudyConfig):
    """Settings of the MARFT study."""

    batch: int = Field(32, ge=1, le=4096, description="Episodes in one update of the bandit")
    updates: int = Field(250, ge=10, le=100_000, description="Updates of the bandit")
    rate: float = Field(0.2, gt=0, le=1, description="Learning rate of Adam in the bandit")
    critic_rate: float = Field(0.1, gt=0, le=1, description="Step of the bandit's critic towards its targets")
    entropy: float = Field(0.01, ge=0, le=1, description="Weight of the entropy bonus in the bandit")
    decay: float = Field(0.95, ge=0, le=1, description="Lambda")
    interval: int = Field(10, ge=1, description="Updates of one agent before the next, agent by agent")
    duo_updates: int = Field(120, ge=2, le=10_000, description="Updates of the duo")
    duo_steps: int = Field(120, ge=1, le=100_000, description="Steps in which the duo's base learns the task before")
    duo_rate: float = Field(1e-3, gt=0, le=1, description="Learning rate of the duo")
    duo_group: int = Field(4, ge=2, le=64, description="Rollouts of each problem for the duo")
    smollm2_updates: int = Field(10, ge=1, le=10_000, description="Updates of the duo of SmolLM2")
    smollm2_rate: float = Field(5e-4, gt=0, le=1, description="Its learning rate")


def identity(trial: Trial[MarftConfig]) -> dict[str, float]:
    """Largest difference between the joint advantage and the sum of the agents', over all sequences of replies."""
    from shoal.posttrain.advantages import gae
    from shoal.posttrain.problems.chain import REPLIES, exact_advantages, worth

    rng, found = trial.rng("policies"), {}
    for n in AGENTS:
        raw = [rng.exponential(size=(1, REPLIES, REPLIES)) for _ in range(n)]
        policies = [x / x.sum(-1, keepdims=True) for x in raw]
        every = np.indices((REPLIES,) * (n + 1)).reshape(n + 1, -1)
        problem, replies = every[0], every[1:]
        own = exact_advantages(policies, problem, replies)
        w = worth(policies)[:, 0]
        joint = (replies[-1] == problem) - w[0, problem, problem]
        reward = np.zeros((problem.size, n))
        reward[:, -1] = replies[-1] == problem
        values = np.array([w[0, problem, problem], *(w[m + 1, problem, replies[m]] for m in range(n - 1))]).T
        steps = gae(reward, values, np.zeros(problem.size), alive=True, discount=1.0, decay=0.0)
        found[f"error, n={n}"] = float(np.abs(own.sum(0) - joint).max())
        found[f"error of GAE, n={n}"] = float(np.abs(steps.T - own).max())
    return found


def bandit(trial: Trial[MarftConfig]) -> list[dict[str, Any]]:
    """All seeds of one arm, for each length of the chain."""
    measured: list[dict[str, Any]] = [{} for _ in trial.seeds]
    for n in AGENTS:
        reward = _chain(trial, n)
        last = max(1, len(reward) // 10)
        for s, row in enumerate(measured):
            row[f"mean reward, n={n}"] = float(reward[:, s].mean())
            row[f"final reward, n={n}"] = float(reward[-last:, s].mean())
            row[f"course, n={n}"] = reward[:: max(1, len(reward) // 50), s]
    return measured


def _chain(trial: Trial[MarftConfig], n: int) -> NDArray[np.float64]:
    """Rewards [updates, seeds] of a chain of n tabular agents."""
    from shoal.posttrain.problems.chain import REPLIES, STATES, SYMBOLS, play, replies_of_tokens
    from shoal.posttrain.problems.tables import Adam, chances

    c, variant, seeds = trial.config, trial.variant, len(trial.seeds)
    rng, optimiser = trial.rng("play", n), Adam(c.rate)
    tokens = variant == TOKEN
    shape = (seeds, STATES, SYMBOLS) if tokens else (seeds, REPLIES, REPLIES)
    tables = {str(m): np.zeros(shape) for m in range(n)}
    critic = np.zeros((n, seeds, shape[1]))
    history = np.zeros((c.updates, seeds))
    for update in range(c.updates):
        now = [chances(tables)[str(m)] for m in range(n)]
        whole = [replies_of_tokens(x) for x in now] if tokens else now
        read, said, reward = play(whole, c.batch, rng, cut=variant == CUT)
        history[update] = reward.mean(1)
        state, action = _entries(read, said, tokens)
        gain, target = _advantages(trial, critic, state, reward, tokens)
        learning = range(n) if variant != TURNS else [update // c.interval % n]
        slopes = {str(m): np.zeros(shape) for m in range(n)}
        per = 2 if tokens else 1
        for entry in range(per * n):
            _move_critic(critic[entry // per], state[entry], target[entry], c.critic_rate)
            if entry // per in learning:
                slopes[str(entry // per)] += _slope(
                    now[entry // per], state[entry], action[entry], gain[entry], c.entropy
                )
        tables = optimiser.ascend(tables, slopes)
    return history


def _entries(
    read: NDArray[np.int64], said: NDArray[np.int64], tokens: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """States and actions in the order of acting [entries, seeds, batch]: replies, or their two tokens."""
    from shoal.posttrain.problems.chain import REPLIES, SYMBOLS

    if not tokens:
        return read, said
    first, second = said // SYMBOLS, said % SYMBOLS
    later = REPLIES + read * SYMBOLS + first
    state = np.stack([read, later], 1).reshape(-1, *read.shape[1:])
    return state, np.stack([first, second], 1).reshape(state.shape)


def _advantages(
    trial: Trial[MarftConfig],
    critic: NDArray[np.float64],
    state: NDArray[np.int64],
    reward: NDArray[np.float64],
    tokens: bool,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Normalised advantages and critic targets of all entries [entries, seeds, batch]."""
    from shoal.posttrain.advantages import gae

    entries, seeds, _ = state.shape
    owner = np.arange(entries) // (2 if tokens else 1)
    value = critic[owner[:, None, None], np.arange(seeds)[None, :, None], state]
    if trial.variant == SHARED:
        gain = np.broadcast_to(reward - reward.mean(1, keepdims=True), state.shape)
    elif trial.variant == INDEPENDENT:
        gain = reward - value
    else:
        paid = np.zeros((*reward.shape, entries))
        paid[..., -1] = reward
        gamma = np.where((np.arange(entries) % 2 == 0) & tokens, 1.0, 0.99 if trial.variant == SHORT else 1.0)
        along = gae(
            paid,
            np.moveaxis(value, 0, -1),
            np.zeros(reward.shape),
            alive=True,
            discount=gamma,
            decay=trial.config.decay,
        )
        gain = np.moveaxis(along, -1, 0)
    spread = gain.std((0, 2), keepdims=True) + 1e-8
    return (gain - gain.mean((0, 2), keepdims=True)) / spread, gain + value


def _slope(
    chance: NDArray[np.float64],
    state: NDArray[np.int64],
    action: NDArray[np.int64],
    gain: NDArray[np.float64],
    entropy: float,
) -> NDArray[np.float64]:
    """Policy gradient of one entry with its entropy bonus, mean over the batch [seeds, states, actions]."""
    seeds, batch = state.shape
    row = np.broadcast_to(np.arange(seeds)[:, None], state.shape)
    each = -chance[row, state] * gain[..., None]
    np.put_along_axis(each, action[..., None], np.take_along_axis(each, action[..., None], -1) + gain[..., None], -1)
    p = chance[row, state]
    logp = np.log(np.maximum(p, 1e-30))
    each += entropy * p * ((-p * logp).sum(-1, keepdims=True) * -1 - logp)
    total = np.zeros_like(chance)
    np.add.at(total, (row, state), each)
    slope: NDArray[np.float64] = total / batch
    return slope


def _move_critic(
    value: NDArray[np.float64], state: NDArray[np.int64], target: NDArray[np.float64], rate: float
) -> None:
    """Each state's value moves towards the mean of its targets, in place [seeds, states]."""
    row = np.broadcast_to(np.arange(value.shape[0])[:, None], state.shape)
    total, count = np.zeros_like(value), np.zeros_like(value)
    np.add.at(total, (row, state), target - value[row, state])
    np.add.at(count, (row, state), 1.0)
    value += rate * total / np.maximum(count, 1.0)


def duo(trial: Trial[MarftConfig]) -> dict[str, dict[str, Any]]:
    """Two tiny transformers in a chain, trained by each arm from one base on the same problems and random numbers."""
    import torch

    from shoal.models.causal.skills import Skill
    from shoal.posttrain.policies import make_policies
    from shoal.posttrain.tiny import pretrain

    c = trial.config
    torch.set_num_threads(1)
    # Slow learning on purpose: the base is to be half able.
    skill = Skill("choose", c.duo_steps, 200, learning_rate=3e-3, optimiser="adamw", reading=0.0, bare=0.0)
    seed = trial.derive("base") % 2**31
    base = pretrain(skill, seed=seed, held_out=0, width=64, layers=2, inner=128, heads=4)
    common = {"problems": 8, "group": c.duo_group, "max_tokens": 12, "learning_rate": c.duo_rate}
    return {
        arm: _train_duo(trial, arm, make_policies(SEATS, base.network, base.tokenizer), common, c.duo_updates)
        for arm in DUOS
    }


def smollm2(trial: Trial[MarftConfig]) -> dict[str, dict[str, Any]]:
    """A duo of SmolLM2-135M as it is, with an adapter for each agent; and with the reward shuffled."""
    import torch

    from shoal.models.causal.network import load_base
    from shoal.posttrain.policies import Lora, make_policies

    c = trial.config
    torch.set_num_threads(1)
    common = {"problems": 4, "group": c.duo_group, "max_tokens": 16, "learning_rate": c.smollm2_rate,
              "temperature": 0.7}  # fmt: skip
    return {
        arm: _train_duo(trial, arm, make_policies(SEATS, *load_base(SMOLLM2), Lora(rank=8)), common, c.smollm2_updates)
        for arm in (DUO, DUO_SHUFFLED)
    }


def no_smollm2(config: MarftConfig) -> str | None:
    """Why SmolLM2 cannot be trained here, or with this size."""
    return lacking_pulled("smollm2") if config.smollm2_updates > 1 else "the quick size leaves SmolLM2 out"


def _train_duo(
    trial: Trial[MarftConfig], variant: str, policies: Mapping[str, Policy], common: dict[str, Any], updates: int
) -> dict[str, Any]:
    """One arm."""
    import torch

    from shoal.posttrain.method import METHODS
    from shoal.posttrain.trainer import Trainer
    from shoal.tasks.catalogue import open_task
    from shoal.teams.catalogue import open_team

    plan = open_team("chain:agents=2")
    if variant == DUO_GROUP:
        method = METHODS.get("grpo")(**common)
    else:
        level = "token" if variant == DUO_TOKEN else "action"
        schedule = "in-turn" if variant == DUO_TURNS else "joint"
        method = METHODS.get("marft")(**common, level=level, schedule=schedule, interval=5, hidden=(64, 32))
    trainer = Trainer(plan.run, plan.agents, policies, method, open_task("choose"), trial.derive("duo") % 2**31)
    if variant == DUO_SHUFFLED:
        _shuffle_rewards(trainer)
    waiting = list(policies.values())[1]
    before = [x.detach().clone() for x in waiting.parameters()]
    trainer.train(1)
    same = all(torch.equal(a, b) for a, b in zip(before, waiting.parameters(), strict=True))
    trainer.train(updates)
    right = [figures["right"] for figures in trainer.history]
    part = max(1, updates // 5)
    first, last = float(np.mean(right[:part])), float(np.mean(right[-part:]))
    measured: dict[str, Any] = {
        "reward, first fifth": first, "reward, last fifth": last, "rise": last - first, "course": right,
    }  # fmt: skip
    return {**measured, "frozen agent unchanged": float(same)} if variant == DUO_TURNS else measured


def _shuffle_rewards(trainer: Any) -> None:
    """From now on rollouts of a batch get each other's rewards."""
    plain = trainer.rollouts

    def shuffled(problems: Any) -> Any:
        done = plain(problems)
        order = np.random.default_rng(derive(trainer.seed, "shuffle", trainer.updates)).permutation(len(done))
        rewards = [done[i].reward for i in order]
        for rollout, reward in zip(done, rewards, strict=True):
            rollout.reward = reward
        return done

    trainer.rollouts = shuffled


def _identity(results: Results) -> list[Check]:
    """All errors are rounding."""
    found = []
    for metric in results.metrics("identity"):
        worst = results.values("identity", "exact", metric)
        found.append(Check(metric, exact(float(worst.max()), worst.size), below=1e-5))
    return found


def _gap(one: str, two: str, n: int, above: float = 0.0) -> Callable[[Results], list[Check]]:
    """Mean reward over the whole training is higher."""

    def checks(results: Results) -> list[Check]:
        if not results.has("bandit", one) or not results.has("bandit", two):
            return []
        off = results.difference("bandit", one, two, f"mean reward, n={n}")
        return [Check(f"n={n}: mean reward, {one} - {two}", off, above=above)]

    return checks


def _cut(results: Results) -> list[Check]:
    """Without the dependency the last agent guesses."""
    final = [results.values("bandit", CUT, f"final reward, n={n}") for n in AGENTS]
    return [
        Check(f"n={n}: final reward without the dependency", mean(x), above=CHANCE - 0.05, below=CHANCE + 0.05)
        for n, x in zip(AGENTS, final, strict=True) if x.size
    ]  # fmt: skip


def _rises(experiment: str, variant: str) -> Callable[[Results], list[Check]]:
    """Right answers of the last fifth of updates against the first."""

    def checks(results: Results) -> list[Check]:
        rise = results.values(experiment, variant, "rise")
        return [Check(f"{variant}: rise", mean(rise), above=0.0)] if rise.size else []

    return checks


def _no_rise(experiment: str) -> Callable[[Results], list[Check]]:
    """With shuffled rewards there is less of a rise."""

    def checks(results: Results) -> list[Check]:
        if not results.has(experiment, DUO) or not results.has(experiment, DUO_SHUFFLED):
            return []
        off = results.difference(experiment, DUO, DUO_SHUFFLED, "rise")
        return [Check(f"rise: {DUO} - {DUO_SHUFFLED}", off, above=0.0)]

    return checks


def _steadier(results: Results) -> list[Check]:
    """Duo: action level no worse than token level."""
    if not results.has("duo", DUO) or not results.has("duo", DUO_TOKEN):
        return []
    metric = "reward, last fifth"
    return [Check(f"{metric}: {DUO} - {DUO_TOKEN}", results.difference("duo", DUO, DUO_TOKEN, metric), above=0.0)]


def _still(results: Results) -> list[Check]:
    """Bit for bit."""
    same = results.values("duo", DUO_TURNS, "frozen agent unchanged")
    return [Check("the agent whose turn it is not: unchanged", exact(float(same.min()), same.size), above=1 - 1e-9)] \
        if same.size else []  # fmt: skip


def plots(results: Results) -> dict[str, Figure]:
    """Learning curves of the bandit by length of the chain, and of the duo."""
    from shoal.runs.plots import new_figure

    figures: dict[str, Figure] = {}
    if results.has("bandit"):
        figures["bandit"], axes = new_figure(len(AGENTS))
        for ax, n in zip(axes, AGENTS, strict=True):
            for variant in results.variants("bandit"):
                _course(ax, results, "bandit", variant, f"course, n={n}")
            ax.set(xlabel="share of training", ylabel="reward", title=f"{n} agents", ylim=(0, 1.02))
        axes[0].legend(fontsize=6, frameon=False)
    for experiment in ("duo", "smollm2"):
        if not results.has(experiment):
            continue
        figures[experiment], (ax,) = new_figure()
        for variant in results.variants(experiment):
            _course(ax, results, experiment, variant, "course")
        ax.set(xlabel="share of training", ylabel="share of right answers")
        ax.legend(fontsize=6, frameon=False)
    return figures


def _course(ax: Any, results: Results, experiment: str, variant: str, metric: str) -> None:
    values, seeds = results.items(experiment, variant, metric)
    if values.size:
        rows = values.reshape(np.unique(seeds).size, -1)
        ax.plot(np.linspace(0, 1, rows.shape[1]), rows.mean(0), label=variant, linewidth=1.2)


# fmt: off
EXPERIMENTS = (
    Experiment("identity", identity, ("exact",), Evidence.EXACT, {"quick": 2, "standard": 5, "full": 20}),
    Experiment("bandit", bandit, ARMS, Evidence.TRAINED, vectorised=True),
    Experiment("duo", duo, DUOS, Evidence.TRAINED, {"quick": 1, "standard": 5, "full": 10}, joint=True,
               skip=lambda config: lacking_packages()),
    Experiment("smollm2", smollm2, (DUO, DUO_SHUFFLED), Evidence.TRAINED, {"quick": 1, "standard": 3, "full": 5},
               joint=True, skip=no_smollm2),
)
CLAIMS = (
    Claim("1-identity", "With exact values the agents' advantages add up to the joint one for every sequence of "
          "replies, n = 2 to 5 (error < 1e-5)", "identity", _identity),
    Claim("2-efficiency-4", "Four agents: MARFT-A learns faster than a shared return without a critic", "bandit",
          _gap(ACTION, SHARED, 4)),
    Claim("2b-efficiency-5", "Five agents: so it does", "bandit", _gap(ACTION, SHARED, 5)),
    Claim("2c-independent", "Five agents: it learns faster than independent PPO", "bandit",
          _gap(ACTION, INDEPENDENT, 5)),
    Claim("3-cut", "With the dependency cut the reward stays at chance, 1/4", "bandit", _cut),
    Claim("4-duo", "A duo of tiny transformers answers more problems in the last fifth of the training than in the "
          "first", "duo", _rises("duo", DUO)),
    Claim("4b-control", "With the reward shuffled across rollouts it rises less", "duo", _no_rise("duo")),
    Claim("4c-smollm2", "A duo of SmolLM2-135M does too", "smollm2", _rises("smollm2", DUO),
          "10 updates of 16 rollouts: what a processor gives."),
    Claim("4d-smollm2-control", "With the reward shuffled across rollouts it rises less", "smollm2",
          _no_rise("smollm2")),
    Claim("5-turns", "Agent by agent, the others stay bit for bit as they were", "duo", _still),
    Claim("6-steady", "Whole replies as actions end higher than tokens as actions", "duo", _steadier,
          "The paper calls the action level steadier."),
    Claim("7-joint", "Five agents: all at once learns faster than agent by agent at the same number of episodes",
          "bandit", _gap(ACTION, TURNS, 5)),
)
# fmt: on

STUDY = Study(
    name="marft",
    title="MARFT: multi-agent reinforcement fine-tuning in the order of speaking",
    paper="arXiv 2504.16129 (2025)",
    kind="post-training",
    engine="posttrain",
    summary=(
        "Agents that answer one after another are trained with one critic that values what each is about to answer, at "
        "the level of replies or of tokens. Tested on a chain that must carry a problem from its first to its last "
        "agent, with exact values, and on a duo of tiny transformers."
    ),
    mechanism=flows(
        "problem -> first agent -(reply)-> next agents -(replies)-> last agent -(answer)-> shared reward",
        "shared reward -> advantages in order -> clipped update -(all or one by one)-> first agent",
        "next agents -(text so far)-> critic -(value of each turn)-> advantages in order",
    ),
    config=MarftConfig,
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    sizes={
        "quick": {"updates": 30, "duo_updates": 4, "duo_steps": 20, "smollm2_updates": 1},
        "full": {"updates": 1000, "duo_updates": 500, "smollm2_updates": 300},
    },
    seeds={"quick": 3, "standard": 10, "full": 20},
    vocabulary=Vocabulary(
        ("planner", "actor"),
        ("cooperation",),
        ("decentralized",),
        ("role-based",),
        ("relay", "advantage decomposition"),
    ),
    plots=plots,
)
