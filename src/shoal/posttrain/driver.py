"""Train a team end to end: base model, seats, method, held-out problems before and after, and what is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError, UnknownName
from shoal.models.causal.network import load_base, need_packages, tiny_network
from shoal.models.causal.tokenizers import CharacterTokenizer, Tokenizer
from shoal.models.interface import Model
from shoal.posttrain.method import METHODS
from shoal.posttrain.offline import OFFLINE
from shoal.posttrain.policies import Lora, Policy, export_adapters, make_policies, share
from shoal.posttrain.rollouts import Rollout, roll_out
from shoal.posttrain.training import CHECKPOINT, Figures, Training, TrainingMethod
from shoal.runs.seeds import derive
from shoal.stats import Estimate, mean, paired_difference
from shoal.tasks.problem import Problem, Task
from shoal.traces import TraceWriter

HELD_OUT = 100
"""Problems of the evaluation where nothing else is said."""


@dataclass(frozen=True)
class HeldOut:
    """A task without some of its problems: those that a training is judged by.

    Attributes:
        task: draws problems.
        hidden: texts of questions that are never given out.
    """

    task: Task
    hidden: frozenset[str]

    @property
    def name(self) -> str:
        """The task's."""
        return self.task.name

    @property
    def title(self) -> str:
        """The task's."""
        return self.task.title

    def problems(self, count: int, seed: int) -> Sequence[Problem]:
        """Problems that are not hidden; fewer than ``count`` where there are no more."""
        known: list[Problem] = []
        # A longer draw begins with the shorter one, so most of the time a few more than wanted will do.
        for more in (len(self.hidden) // 8 + 8, len(self.hidden)):
            known = [p for p in self.task.problems(count + more, seed) if p.question.text not in self.hidden]
            if len(known) >= count:
                break
        return known[:count]


@dataclass
class TeamTraining:
    """What came of a training.

    Attributes:
        trainer: the training, with the trained policies and the history.
        before: right answers on the held-out problems before, 0 or 1 [problems].
        after: the same problems after.
        adapters: folders of the trained roles.
    """

    trainer: Training
    before: NDArray[np.float64]
    after: NDArray[np.float64]
    adapters: list[Path] = field(default_factory=list)

    @property
    def gain(self) -> Estimate:
        """Accuracy after minus before, paired over problems."""
        return paired_difference(self.after, self.before)

    def figures(self) -> dict[str, Estimate]:
        """Accuracies and their difference, with intervals."""
        return {"before": mean(self.before), "after": mean(self.after), "gain": self.gain}


@dataclass
class Preparation:
    """A training that fits together and has not begun.

    Attributes:
        trainer: of the base's copies or adapters.
        tested: held-out problems.
        model: spec of the base.
    """

    trainer: Training
    tested: list[Problem]
    model: str


def find_method(name: str) -> type[TrainingMethod]:
    """A method that learns from its own rollouts, or from data. Raises UnknownName."""
    if name not in METHODS and name not in OFFLINE:
        raise UnknownName("method", name, [*METHODS, *OFFLINE])
    return METHODS.get(name) if name in METHODS else OFFLINE.get(name)


def train_team(
    method: str | TrainingMethod,
    team: str,
    task: str,
    model: str,
    *,
    updates: int | None = None,
    folder: Path | None = None,
    resume: bool = False,
    checkpoint_every: int = 10,
    trace: TraceWriter | None = None,
    progress: Callable[[int, Figures], None] | None = None,
    **options: Any,
) -> TeamTraining:
    """Train the seats of a team: ``prepare`` and ``carry_out`` in one; ``options`` are those of ``prepare``."""
    ready = prepare(method, team, task, model, **options)
    return carry_out(
        ready, updates, folder=folder, resume=resume, checkpoint_every=checkpoint_every, trace=trace, progress=progress
    )


def prepare(
    method: str | TrainingMethod,
    team: str,
    task: str,
    model: str,
    *,
    settings: dict[str, Any] | None = None,
    lora: Lora | None = None,
    trained: Sequence[str] = (),
    shared: bool = False,
    frozen: Model | None = None,
    held_out: int | None = None,
    seed: int = 0,
) -> Preparation:
    """Put a training together; nothing is written.

    Args:
        method: a name (grpo, dr-mas, ..., sft, dpo, malt), or a method.
        team: recipe or protocol, as ``shoal team`` takes it.
        task: task set, as ``shoal team`` takes it.
        model: base: ``local:smollm2``, ``local:tiny-SKILL``, ``local:FOLDER`` (of transformers), or ``fresh:tiny``.
        settings: of the method, where it is named.
        lora: adapters' shape; None trains a whole copy of the base for each role.
        trained: names of the trained agents; all if left out.
        shared: all roles train one policy.
        frozen: model of the others.
        held_out: problems for the evaluation, none of which is trained on; 100 if left out, or a third of the task's
            where it has fewer than 300.
        seed: root of all randomness.

    Raises:
        InputError, UnknownName: something does not fit.
    """
    need_packages(model)
    chosen = find_method(method)(**(settings or {})) if isinstance(method, str) else method
    chosen.check()
    plan, problems = chosen.opened(team, task)
    source, tested = _split(problems, held_out, seed)
    network, tokenizer = open_base(model, seed)
    names = list(trained) or [agent.name for agent in plan.agents]
    policies = _policies(names, network, tokenizer, lora, shared, seed)
    return Preparation(chosen.training(plan.run, plan.agents, policies, source, seed, frozen), tested, model)


def carry_out(
    ready: Preparation,
    updates: int | None = None,
    *,
    folder: Path | None = None,
    resume: bool = False,
    checkpoint_every: int = 10,
    trace: TraceWriter | None = None,
    progress: Callable[[int, Figures], None] | None = None,
) -> TeamTraining:
    """Train, with an evaluation on the held-out problems before and after.

    Args:
        ready: what is trained.
        updates: to be done, those of an earlier part included; 50 if left out, or all passes over the data.
        folder: for checkpoints and adapters.
        resume: go on from the checkpoint in ``folder``.
        checkpoint_every: updates between checkpoints.
        trace: where events go.
        progress: called after each update.

    Raises:
        InputError: the checkpoint is of another team, method or seed, or there is none.
    """
    trainer = ready.trainer
    trainer.folder, trainer.trace = folder, trace
    before = accuracy(trainer, ready.tested)
    if resume:
        if folder is None:
            raise InputError("resume", folder, "Give the folder of the training.")
        trainer.load(folder / CHECKPOINT)
    trainer.train(updates, progress, checkpoint_every)
    result = TeamTraining(trainer, before, accuracy(trainer, ready.tested))
    if folder is not None:
        base = "" if ready.model == "fresh:tiny" else ready.model
        result.adapters = export_adapters(trainer.policies, folder / "adapters", base)
    return result


def accuracy(trainer: Training, problems: Sequence[Problem]) -> NDArray[np.float64]:
    """Right answers of the team as it is, greedy, 0 or 1 for each problem."""
    return np.array([float(r.problem.check(r.answer)) for r in examine(trainer, problems)])


def examine(trainer: Training, problems: Sequence[Problem], temperature: float = 0.0) -> list[Rollout]:
    """The team's work on problems as it is, once on each; nothing is learned from it."""
    if not problems:
        return []
    return roll_out(
        trainer.team, trainer.agents, problems, trainer.policies, temperature=temperature,
        max_tokens=trainer.method.settings.max_tokens, frozen=trainer.frozen, seed=trainer.seed,
    )  # fmt: skip


def open_base(model: str, seed: int = 0) -> tuple[Any, Tokenizer]:
    """Network and tokenizer of a base model that can be trained.

    Raises:
        InputError: the spec names none, with what can be given.
    """
    if model == "fresh:tiny":
        return tiny_network(int(hashlib.sha256(str(seed).encode()).hexdigest()[:8], 16)), CharacterTokenizer()
    return load_base(model)


def _split(task: Task, held_out: int | None, seed: int) -> tuple[HeldOut, list[Problem]]:
    """A task without its held-out problems, and these."""
    first = derive(seed, "held-out")
    count = held_out
    if count is None:
        many = len({p.question.text for p in task.problems(3 * HELD_OUT, first)})
        count = HELD_OUT if many >= 3 * HELD_OUT else many // 3
    tested = list(task.problems(count, first)) if count else []
    source = HeldOut(task, frozenset(p.question.text for p in tested))
    if not source.problems(1, 0):
        raise InputError("--held-out", count, "The task has no problems left to train on; hold out fewer.")
    return source, tested


def _policies(
    names: Sequence[str], network: Any, tokenizer: Tokenizer, lora: Lora | None, shared: bool, seed: int
) -> dict[str, Policy]:
    if not shared:
        return make_policies(names, network, tokenizer, lora, seed)
    one = make_policies(names[:1], network, tokenizer, lora, seed)[names[0]]
    return share(dict.fromkeys(names, one), dict.fromkeys(names, "all"))
