"""M-GRPO with language models: tiny transformers, SmolLM2 with two adapters, and any model without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal.runs.study import Trial
from shoal.studies.m_grpo.settings import (
    LM_ALONE,
    LM_ALONE_START,
    LM_FROZEN,
    LM_QUEUE,
    LM_START,
    LM_TEAMS,
    STAGE_1,
    STAGE_2,
    UNTRAINED,
    MGrpoConfig,
)

if TYPE_CHECKING:
    from shoal.models.causal.tokenizers import Tokenizer
    from shoal.posttrain.policies import Policy
    from shoal.posttrain.rollouts import Rollout
    from shoal.posttrain.trainer import Trainer
    from shoal.tasks.problem import Problem, Task

TEAM = "research:told=false"
TRAINING, HELD_OUT, SHOWN = (f"facts:entries=20,bases=1000000,base={part}000000" for part in (0, 1, 2))
"""Bases to train on, to be tested on, and to imitate work on: no question or fact is in two of them."""
EXAMPLES = 20_000
SHAPE = {"width": 64, "layers": 2, "heads": 4, "inner": 128, "context": 192}
"""About 0.09 M parameters."""
LONGEST, LONGEST_ALONE = 64, 96
"""Tokens of a trajectory; who works alone does in one what a team does in two or three."""
RATE_WARM_UP = 5
HEAT = 0.7
"""Sampling temperature of tiny transformers, which make many slips of the pen at 1."""
PARTS = (2, 2, 1)
"""Of planner, researcher and who works alone in imitation: the last does what the second does, at twice the length."""
IMITATION_RATE, SMALL_IMITATION_RATE, SMALL_RATE = 4e-3, 2e-3, 2e-4
SMALL = "smollm2"


@dataclass(frozen=True)
class Ground:
    """What all arms of a seed share.

    Attributes:
        policies: of every role, as stage 1 left them; each arm trains copies.
        task: questions to train on.
        tested: questions of the evaluation.
    """

    policies: Mapping[str, Policy]
    task: Task
    tested: Sequence[Problem]

    @property
    def tokenizer(self) -> Tokenizer:
        """Of all policies."""
        return next(iter(self.policies.values())).tokenizer


def language(trial: Trial[MGrpoConfig]) -> dict[str, dict[str, Any]]:
    """Planner and researcher as tiny transformers, trained together, in part, unaligned, or as one agent."""
    import torch

    from shoal.posttrain.problems.research import ALONE, PLANNER, RESEARCHER

    torch.set_num_threads(1)
    c, ground = trial.config, tiny_ground(trial)
    found: dict[str, dict[str, Any]] = {}
    for variant in LM_TEAMS:
        names = (PLANNER,) if variant == LM_FROZEN else (PLANNER, RESEARCHER)
        trainer = seated(trial, ground, (PLANNER, RESEARCHER), names, "queue" if variant == LM_QUEUE else "copies")
        trainer.train(0 if variant == LM_START else c.lm_updates)
        found[variant] = figures(trial, trainer, ground)
    most = max(found[variant]["training tokens"] for variant in LM_TEAMS)
    for variant, tokens in ((LM_ALONE_START, 0.0), (LM_ALONE, most)):
        trainer = seated(trial, ground, (ALONE,), (ALONE,))
        while sum(row["spent"] for row in trainer.history) < tokens:
            trainer.update()
        found[variant] = figures(trial, trainer, ground)
    return found


def tiny_ground(trial: Trial[MGrpoConfig]) -> Ground:
    """One network that has imitated all roles; every role of every arm begins as a copy of it."""
    from shoal.models.causal.network import tiny_network
    from shoal.models.causal.tokenizers import CharacterTokenizer
    from shoal.posttrain.policies import Policy
    from shoal.posttrain.problems.research import ROLES, Demonstrations, imitate
    from shoal.posttrain.tiny import SPREAD
    from shoal.tasks.catalogue import open_task

    c, tokenizer = trial.config, CharacterTokenizer()
    shown = Demonstrations(open_task(SHOWN).problems(EXAMPLES, trial.derive("examples")), tokenizer)
    network = tiny_network(trial.derive("base") % 2**31, spread=SPREAD, **SHAPE)
    base = Policy("base", network, tokenizer)
    imitate(
        base, lambda rng: shown.draw(rng.choices(ROLES, PARTS)[0], rng), steps=c.lm_steps, batch=c.lm_batch,
        learning_rate=IMITATION_RATE, seed=trial.derive("imitation"),
    )  # fmt: skip
    tested = open_task(HELD_OUT).problems(c.lm_held, trial.derive("held-out"))
    return Ground(dict.fromkeys(ROLES, base), open_task(TRAINING), tested)


def seated(
    trial: Trial[MGrpoConfig],
    ground: Ground,
    names: Sequence[str],
    trained: Sequence[str],
    align: str = "copies",
) -> Trainer:
    """A trainer of copies of the base; who is not trained is the base itself."""
    from shoal.models.causal.model import CausalModel
    from shoal.posttrain.method import METHODS
    from shoal.posttrain.policies import make_policies
    from shoal.posttrain.problems.research import SubtaskJudge
    from shoal.posttrain.trainer import Trainer
    from shoal.stats import Evidence
    from shoal.teams.catalogue import open_team

    c, base = trial.config, ground.policies[names[0]]
    method = METHODS.get("m-grpo")(
        problems=c.lm_questions, group=c.lm_group, calls=c.lm_calls, align=align, learning_rate=c.lm_rate,
        rate_warm_up=RATE_WARM_UP, max_tokens=longest(names), temperature=HEAT, piece=32,
    )  # fmt: skip
    method.judge = SubtaskJudge(ground.tokenizer, c.noise, trial.derive("judge"))  # type: ignore[attr-defined]
    return Trainer(
        open_team(TEAM).run, agents_of(names), make_policies(trained, base.network, base.tokenizer), method,
        ground.task, trial.derive("training") % 2**31,
        frozen=CausalModel("base", base.network, base.tokenizer, Evidence.TRAINED),
    )  # fmt: skip


def agents_of(names: Sequence[str]) -> list[Any]:
    """Agents of those roles; who works alone is told so."""
    from shoal.posttrain.problems.research import ALONE
    from shoal.teams.agent import Agent

    return [Agent(name, persona=ALONE if name == ALONE else "") for name in names]


def longest(names: Sequence[str]) -> int:
    """Most tokens of a trajectory."""
    return LONGEST if len(names) > 1 else LONGEST_ALONE


def figures(trial: Trial[MGrpoConfig], trainer: Trainer, ground: Ground) -> dict[str, Any]:
    """Held-out questions, each once with sampling as in training, and once greedily; and what the training cost."""
    from shoal.posttrain.rollouts import roll_out

    names = [agent.name for agent in trainer.agents]
    policies = {name: trainer.policies.get(name, ground.policies[name]) for name in names}
    sampled, greedy = (
        roll_out(
            trainer.team, trainer.agents, ground.tested, policies, temperature=heat, max_tokens=longest(names),
            seed=trial.derive("evaluation"),
        )
        for heat in (HEAT, 0.0)
    )  # fmt: skip
    found = {
        **outcomes(sampled, ground.tokenizer),
        "accuracy, greedy": [r.reward for r in greedy],
        "training tokens": float(sum(row["spent"] for row in trainer.history)),
    }
    return found | ({"course": [row["right"] for row in trainer.history]} if trainer.history else {})


def outcomes(done: Sequence[Rollout], tokenizer: Tokenizer) -> dict[str, Any]:
    """What a team's rollouts came to, one figure for each."""
    from shoal.posttrain.m_grpo import formed
    from shoal.posttrain.problems.research import RESEARCHER, SubtaskJudge

    judge = SubtaskJudge(tokenizer)
    subtasks = [(r, turn) for r in done for turn in r.turns if turn.agent == RESEARCHER]
    first = [turn for r in done for turn in r.turns if turn.agent != RESEARCHER]
    found: dict[str, Any] = {
        "accuracy": [r.reward for r in done],
        "formed": [float(formed(turn)) for turn in first],
        "tokens per question": [float(r.tokens) for r in done],
        "share of masked tokens": _masked(done),
    }
    if subtasks:
        found["calls"] = [float(sum(turn.agent == RESEARCHER for turn in r.turns)) for r in done]
        found["subtasks formed"] = [float(formed(turn)) for _, turn in subtasks]
        found["subtask success"] = [float(judge.success(r, turn)) for r, turn in subtasks]
    return found


def _masked(done: Sequence[Rollout]) -> float:
    """Share of the tokens of replies that tools gave, or the other agent."""
    turns = [turn for r in done for turn in r.turns]
    return 1 - sum(turn.written for turn in turns) / max(1, sum(len(turn.tokens) for turn in turns))


def no_small_model(config: MGrpoConfig) -> str | None:
    """Why SmolLM2 is left out, or None."""
    from shoal.models.causal.network import lacking_packages
    from shoal.models.local.cards import is_ready

    if not config.small_updates:
        return "it takes minutes: use --size standard or --set small_updates=3"
    if lacking_packages() is not None:
        return lacking_packages()
    return None if is_ready(SMALL) else f"fetch it first: `shoal models pull {SMALL}`"


def small(trial: Trial[MGrpoConfig]) -> dict[str, dict[str, Any]]:
    """SmolLM2-135M for both roles, an adapter for each: untrained, after imitation, after a few updates."""
    import torch

    from shoal.models.causal.network import load_base
    from shoal.posttrain.method import METHODS
    from shoal.posttrain.policies import Lora, make_policies
    from shoal.posttrain.problems.research import PLANNER, RESEARCHER, Demonstrations, SubtaskJudge, imitate
    from shoal.posttrain.trainer import Trainer
    from shoal.tasks.catalogue import open_task
    from shoal.teams.catalogue import open_team

    torch.set_num_threads(1)
    c, names = trial.config, (PLANNER, RESEARCHER)
    network, tokenizer = load_base(f"local:{SMALL}")
    policies = make_policies(
        names, network, tokenizer, Lora(rank=8, targets="all-linear"), trial.derive("adapters") % 2**31
    )
    tested = open_task(HELD_OUT).problems(c.small_held, trial.derive("held-out"))
    ground = Ground(policies, open_task(TRAINING), tested)
    method = METHODS.get("m-grpo")(
        problems=c.small_questions, group=c.lm_group, calls=c.lm_calls, learning_rate=SMALL_RATE, max_tokens=LONGEST,
        piece=8,
    )  # fmt: skip
    method.judge = SubtaskJudge(tokenizer, c.noise, trial.derive("judge"))  # type: ignore[attr-defined]
    seed = trial.derive("training") % 2**31
    trainer = Trainer(open_team(TEAM).run, agents_of(names), policies, method, ground.task, seed)
    found = {UNTRAINED: _small_figures(trial, trainer, ground)}
    shown = Demonstrations(open_task(SHOWN).problems(EXAMPLES // 10, trial.derive("examples")), tokenizer)
    for name in names:
        imitate(
            policies[name], lambda rng, role=name: shown.draw(role, rng), steps=c.small_steps,  # type: ignore[misc]
            batch=c.small_batch, learning_rate=SMALL_IMITATION_RATE, seed=trial.derive("imitation", name),
        )  # fmt: skip
    found[STAGE_1] = _small_figures(trial, trainer, ground)
    trainer.train(c.small_updates)
    found[STAGE_2] = _small_figures(trial, trainer, ground)
    return found


def _small_figures(trial: Trial[MGrpoConfig], trainer: Trainer, ground: Ground) -> dict[str, Any]:
    """As of tiny transformers, sampled only; form and subtasks of the trainer's own rollouts in its last update."""
    from shoal.posttrain.rollouts import roll_out

    done = roll_out(
        trainer.team, trainer.agents, ground.tested, trainer.policies, max_tokens=LONGEST,
        seed=trial.derive("evaluation"),
    )  # fmt: skip
    found = outcomes(done, ground.tokenizer)
    if trainer.history:
        last = trainer.history[-1]
        found |= {f"last update: {name}": last[name] for name in ("formed", "calls", "given", "reward")}
    return found


async def vertical(trial: Trial[MGrpoConfig]) -> dict[str, Any]:
    """The system with any model, without training: K rollouts of each question, form and the paper's rewards."""
    from shoal.posttrain.m_grpo import main_reward, sub_reward
    from shoal.posttrain.problems.research import PLANNER, RESEARCHER
    from shoal.tasks.catalogue import open_task
    from shoal.tasks.generated.facts import base_of
    from shoal.tasks.problem import answer_key
    from shoal.teams.evaluation import answer_one
    from shoal.teams.protocols.researching import Research
    from shoal.teams.session import Session

    c = trial.config
    problems = open_task(HELD_OUT).problems(c.vertical_questions, trial.derive("problems"))
    model = trial.need_model(answer_key(problems))

    async def one(problem: Problem, sample: int) -> tuple[Research, float]:
        session = Session(
            model, problem.question, trial.trace, seed=trial.derive(problem.question.id, sample), temperature=1.0,
            max_tokens=LONGEST,
        )  # fmt: skip
        whole = Research(problem.question, session, base_of(problem.question), calls=4, lookups=6, told=True)
        done = await answer_one(
            lambda question, agents, session, **options: whole.outcome(agents), agents_of((PLANNER, RESEARCHER)),
            problem, session, "research",
        )  # fmt: skip
        return whole, float(done.correct)

    found = [await one(problem, sample) for problem in problems for sample in range(c.lm_group)]
    right = np.array([correct for _, correct in found])
    form = np.array([float(whole.first is not None and whole.first.formed) for whole, _ in found])
    subtasks = [(float(t.formed), correct) for whole, correct in found for t in whole.trajectories]
    formed, outcome = np.array(subtasks, float).reshape(-1, 2).T
    measured: dict[str, Any] = {
        "accuracy": right, "formed": form, "main reward": main_reward(form, right),
        "calls": [float(len(whole.trajectories)) for whole, _ in found],
        "tokens per question": [float(whole.session.usage.tokens) for whole, _ in found],
    }  # fmt: skip
    if subtasks:
        measured |= {"subtasks formed": formed, "sub reward": sub_reward(formed, outcome, outcome, (0.1, 0.4, 0.5))}
    return measured
