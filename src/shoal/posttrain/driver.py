"""Train a team end to end: base model, seats, method, held-out problems before and after, and what is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shoal.errors import InputError
from shoal.models.causal.network import load_network, need_packages, tiny_network
from shoal.models.causal.skills import PREFIX, find_tiny
from shoal.models.causal.tokenizers import CharacterTokenizer, Tokenizer
from shoal.models.interface import Model
from shoal.posttrain.method import METHODS, Method
from shoal.posttrain.policies import Lora, Policy, export_adapters, make_policies, share
from shoal.posttrain.rollouts import roll_out
from shoal.posttrain.trainer import Figures, Trainer
from shoal.runs.seeds import derive
from shoal.stats import Estimate, mean, paired_difference
from shoal.tasks.catalogue import open_task
from shoal.tasks.problem import Problem, Task
from shoal.teams.catalogue import open_team
from shoal.traces import TraceWriter


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
        drawn = self.task.problems(count + len(self.hidden), seed)
        return [p for p in drawn if p.question.text not in self.hidden][:count]


@dataclass
class TeamTraining:
    """What came of a training.

    Attributes:
        trainer: with the trained policies and the history.
        before: right answers on the held-out problems before, 0 or 1 [problems].
        after: the same problems after.
        adapters: folders of the trained roles.
    """

    trainer: Trainer
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


def train_team(
    method: str | Method,
    team: str,
    task: str,
    model: str,
    *,
    updates: int = 50,
    settings: dict[str, Any] | None = None,
    lora: Lora | None = None,
    trained: Sequence[str] = (),
    shared: bool = False,
    frozen: Model | None = None,
    held_out: int = 100,
    seed: int = 0,
    folder: Path | None = None,
    resume: bool = False,
    checkpoint_every: int = 10,
    trace: TraceWriter | None = None,
    progress: Callable[[int, Figures], None] | None = None,
) -> TeamTraining:
    """Train the seats of a team.

    Args:
        method: a name of ``METHODS`` (grpo, dr-mas, ...), or a method.
        team: recipe or protocol, as ``shoal team`` takes it.
        task: task set, as ``shoal team`` takes it.
        model: base: ``local:tiny-SKILL``, ``local:FOLDER`` of a transformers model, or ``fresh:tiny``.
        updates: to be done.
        settings: of the method, where it is named.
        lora: adapters' shape; None trains a whole copy of the base for each role.
        trained: names of the trained agents; all if left out.
        shared: all roles train one policy.
        frozen: model of the others.
        held_out: problems for the evaluation, none of which is trained on; greedy replies.
        seed: root of all randomness.
        folder: for checkpoints and adapters.
        resume: go on from the checkpoint in ``folder``.
        checkpoint_every: updates between checkpoints.
        trace: where events go.
        progress: called after each update.

    Raises:
        InputError, UnknownName: something does not fit; nothing has been written.
    """
    need_packages(model)
    plan = open_team(team)
    chosen = METHODS.get(method)(**(settings or {})) if isinstance(method, str) else method
    names = list(trained) or [agent.name for agent in plan.agents]
    network, tokenizer = open_base(model, seed)
    policies = _policies(names, network, tokenizer, lora, shared, seed)
    whole = open_task(task)
    tested = list(whole.problems(held_out, derive(seed, "held-out"))) if held_out else []
    source = HeldOut(whole, frozenset(p.question.text for p in tested))
    if not source.problems(1, 0):
        raise InputError("--held-out", held_out, "The task has no problems left to train on; hold out fewer.")
    trainer = Trainer(plan.run, plan.agents, policies, chosen, source, seed, frozen, trace=trace, folder=folder)
    before = accuracy(trainer, tested)
    if resume:
        if folder is None:
            raise InputError("resume", folder, "Give the folder of the training.")
        trainer.load(folder / "checkpoint")
    trainer.train(updates, progress, checkpoint_every)
    result = TeamTraining(trainer, before, accuracy(trainer, tested))
    if folder is not None:
        result.adapters = export_adapters(policies, folder / "adapters")
    return result


def accuracy(trainer: Trainer, problems: Sequence[Problem]) -> NDArray[np.float64]:
    """Right answers of the team as it is, greedy, 0 or 1 for each problem."""
    if not problems:
        return np.zeros(0)
    done = roll_out(
        trainer.team, trainer.agents, problems, trainer.policies, temperature=0.0,
        max_tokens=trainer.method.settings.max_tokens, frozen=trainer.frozen, seed=trainer.seed,
    )  # fmt: skip
    return np.array([float(r.problem.check(r.answer)) for r in done])


def open_base(model: str, seed: int = 0) -> tuple[Any, Tokenizer]:
    """Network and tokenizer of a base model that can be trained.

    Raises:
        InputError: the spec names none, with what can be given.
    """
    scheme, _, rest = model.partition(":")
    if model == "fresh:tiny":
        return tiny_network(int(hashlib.sha256(str(seed).encode()).hexdigest()[:8], 16)), CharacterTokenizer()
    if scheme == "local" and rest.startswith(PREFIX):
        return load_network(find_tiny(rest))
    if scheme == "local" and Path(rest).expanduser().is_dir():
        return load_network(Path(rest).expanduser())
    mend = "Only weights on this machine can be trained: local:tiny-SKILL, local:FOLDER or fresh:tiny."
    raise InputError("--model", model, mend)


def _policies(
    names: Sequence[str], network: Any, tokenizer: Tokenizer, lora: Lora | None, shared: bool, seed: int
) -> dict[str, Policy]:
    if not shared:
        return make_policies(names, network, tokenizer, lora, seed)
    one = make_policies(names[:1], network, tokenizer, lora, seed)[names[0]]
    return share(dict.fromkeys(names, one), dict.fromkeys(names, "all"))
