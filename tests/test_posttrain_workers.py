"""Decoupled workers: any number of them, dead ones included, gives the numbers of one process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the extra posttrain")
pytest.importorskip("transformers", reason="needs the extra posttrain")
pytest.importorskip("peft", reason="needs the extra posttrain")

from shoal.errors import InputError  # noqa: E402
from shoal.models.causal.network import tiny_network  # noqa: E402
from shoal.models.causal.tokenizers import CharacterTokenizer  # noqa: E402
from shoal.posttrain.method import METHODS  # noqa: E402
from shoal.posttrain.policies import Lora, make_policies  # noqa: E402
from shoal.posttrain.trainer import Trainer  # noqa: E402
from shoal.posttrain.workers import DecoupledTrainer, Job, RolloutStore, rolled_out, work  # noqa: E402
from shoal.tasks.catalogue import open_task  # noqa: E402
from shoal.teams.catalogue import open_team  # noqa: E402

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("one_thread")]
SHARDS = 3


def parts(width: int = 16, **settings: Any) -> dict[str, Any]:
    plan = open_team("chain:agents=2")
    network = tiny_network(0, width=width, layers=1, heads=2, inner=32)
    policies = make_policies([a.name for a in plan.agents], network, CharacterTokenizer(), Lora(rank=2))
    method = METHODS.get("grpo")(problems=5, group=2, max_tokens=6, learning_rate=1e-2, **settings)
    return {"team": plan.run, "agents": plan.agents, "policies": policies, "method": method,
            "task": open_task("choose"), "reward": lambda problem, r: len(set(r.turns[-1].text)) / 6}  # fmt: skip


def decoupled(folder: Path, **kept: Any) -> DecoupledTrainer:
    return DecoupledTrainer(**parts(), store=RolloutStore(folder), shards=SHARDS, **kept)


def values(trainer: Trainer) -> list[Any]:
    return [tensor.detach().clone() for policy in trainer.distinct() for tensor in policy.parameters()]


@contextmanager
def workers(folder: Path, count: int) -> Iterator[list[int]]:
    """Threads with teams of their own that take jobs."""
    done, stop = [0] * count, threading.Event()
    trainers = [Trainer(**parts()) for _ in range(count)]

    def serve(number: int) -> None:
        done[number] = work(RolloutStore(folder), trainers[number], go_on=lambda: not stop.is_set())

    threads = [threading.Thread(target=serve, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield done
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Any:
    trainer = decoupled(tmp_path_factory.mktemp("alone"))
    trainer.train(3)
    return trainer


def test_workers_give_the_numbers_of_one_process(alone: DecoupledTrainer, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    trainer = decoupled(tmp_path, helps=False)
    with workers(tmp_path, 2) as done:
        trainer.train(3)
    assert sum(done) == 3 * SHARDS
    assert all(torch.equal(a, b) for a, b in zip(values(alone), values(trainer), strict=True))
    rewards = [[row["reward"] for row in t.history] for t in (alone, trainer)]
    assert rewards[0] == rewards[1]


def test_the_numbers_are_those_of_an_ordinary_trainer_but_for_rounding(alone: DecoupledTrainer) -> None:
    trainer = Trainer(**parts())
    trainer.train(3)
    for a, b in zip(values(alone), values(trainer), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-3)


def test_a_dead_worker_costs_time_and_nothing_else(alone: DecoupledTrainer, tmp_path: Path) -> None:
    trainer = decoupled(tmp_path, lease=0.05)
    store, offer = trainer.store, trainer.store.offer

    def offered(jobs: list[Job]) -> None:
        offer(jobs)
        assert store.claim() is not None  # and never heard of again

    object.__setattr__(store, "offer", offered)
    trainer.train(3)
    assert all(torch.equal(a, b) for a, b in zip(values(alone), values(trainer), strict=True))


def test_a_job_is_claimed_once_and_stale_ones_are_withdrawn(tmp_path: Path) -> None:
    store = RolloutStore(tmp_path)
    store.offer([Job(0, 0, 2), Job(0, 1, 2)])
    assert [store.claim(), store.claim(), store.claim()] == [Job(0, 0, 2), Job(0, 1, 2), None]
    store.reclaim(lease=60)
    assert store.claim() is None
    store.reclaim(lease=-1)
    assert store.claim() == Job(0, 0, 2)
    store.offer([Job(1, 0, 2)])
    assert [store.claim(), store.claim()] == [Job(1, 0, 2), None]


def test_rollouts_survive_the_store(tmp_path: Path) -> None:
    trainer = Trainer(**parts())
    job = Job(0, 1, SHARDS)
    made = rolled_out(trainer, job)
    store = RolloutStore(tmp_path)
    assert store.collect([job], {}) is None
    store.finish(job, made)
    assert store.collect([job], {r.problem.question.id: r.problem for r in made}) == made


def test_policies_of_another_team_are_refused(tmp_path: Path) -> None:
    store = RolloutStore(tmp_path)
    store.publish(0, Trainer(**parts()).distinct())
    with pytest.raises(InputError, match="do not fit"):
        store.adopt(0, Trainer(**parts(width=32)).distinct())


def test_only_recent_policies_are_kept(tmp_path: Path) -> None:
    store, distinct = RolloutStore(tmp_path), Trainer(**parts()).distinct()
    for update in range(4):
        store.publish(update, distinct)
    assert sorted(path.name for path in (tmp_path / "policies").iterdir()) == ["00000002", "00000003"]
