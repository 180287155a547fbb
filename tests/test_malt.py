"""MALT: trees, values, labels and pairs; the tables' exact success; roles that learn from their own trees."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import InputError
from shoal.posttrain.preference_trees import (
    Node,
    export_pairs,
    pairs,
    shuffled_among_siblings,
    tree_size,
    value_bound,
    values,
)
from shoal.posttrain.problems import critique_chain as chain


def tree(leaves: list[list[list[bool]]]) -> list[Node]:
    nodes = [Node(-1, 0, f"d{j}") for j in range(len(leaves))]
    for j, drafts in enumerate(leaves):
        for _ in drafts:
            nodes.append(Node(j, 1, "c"))
    first = len(leaves)
    for drafts in leaves:
        for critiques in drafts:
            nodes += [Node(first, 2, "r", right=right) for right in critiques]
            first += 1
    return nodes


def test_values_are_means_from_the_leaves_up() -> None:
    nodes = tree([[[True, False], [True, True]], [[False, False], [False, True]]])
    worth = values(nodes)
    assert worth[:2].tolist() == [0.75, 0.25]
    assert worth[2:6].tolist() == [0.5, 1.0, 0.0, 0.5]


def test_pairs_are_between_siblings_of_unlike_labels_widest_first() -> None:
    nodes = tree([[[True, False], [True, True]], [[False, False], [False, True]]])
    worth = values(nodes)
    found = pairs(nodes, worth)
    assert all(nodes[p.chosen].parent == nodes[p.rejected].parent and nodes[p.chosen].role == p.role for p in found)
    assert {(p.role, p.gap) for p in found} == {(0, 0.5), (1, 0.5), (2, 1.0)}
    many = [Node(-1, 0, "", right=r) for r in (True, True, True, False, False)]
    assert len(pairs(many, values(many), most=2)) == 2


@given(st.lists(st.booleans(), min_size=8, max_size=8), st.integers(0, 99))
def test_shuffling_keeps_the_values_of_every_family(leaves: list[bool], seed: int) -> None:
    shaped = np.array(leaves).reshape(2, 2, 2).tolist()
    nodes = tree(shaped)
    worth = values(nodes)
    mixed = shuffled_among_siblings(nodes, worth, np.random.default_rng(seed))
    for parent in {n.parent for n in nodes}:
        own = [i for i, n in enumerate(nodes) if n.parent == parent]
        assert sorted(worth[own]) == sorted(mixed[own])


def test_trees_that_cannot_be_are_refused() -> None:
    assert tree_size(3, 3) == 39
    with pytest.raises(InputError, match="at least 2"):
        tree_size(3, 1)
    with pytest.raises(InputError, match="at most"):
        tree_size(3, 100, 100)
    assert value_bound(3, 0.3) == pytest.approx(2 * np.exp(-1.62))


def test_pairs_are_exported_as_json_lines(tmp_path: Path) -> None:
    nodes = [Node(-1, 0, "good", (1, 2), (3,), True), Node(-1, 0, "bad", (1, 2), (4,), False)]
    assert export_pairs(tmp_path / "pairs.jsonl", [(nodes, pairs(nodes, values(nodes)))], ["generator"]) == 1
    (row,) = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert (row["role"], row["chosen"], row["rejected"], row["prompt"]) == ("generator", "good", "bad", [1, 2])


def test_exact_success_and_values_are_what_trees_estimate() -> None:
    trees = chain.grow(chain.BASE, 4000, 3, np.random.default_rng(0))
    worth = chain.backed_up(trees)
    assert trees.right.mean() == pytest.approx(chain.success(chain.BASE), abs=0.01)
    for draft in (0, 1):
        estimated = worth[0][trees.drafts == draft].mean()
        assert estimated == pytest.approx(chain.draft_values(chain.BASE)[draft], abs=0.01)


def test_preference_steps_move_the_log_ratio_towards_the_chosen() -> None:
    logits = np.zeros((1, 3))
    state, better, worse = np.zeros(1, int), np.array([1]), np.array([2])
    moved = chain.prefer(logits, state, better, worse, beta=0.2, steps=50, rate=1.0)
    assert moved[0, 1] > 0 > moved[0, 2] and moved[0, 0] == 0
    kept = chain.prefer(logits, state[:0], better[:0], worse[:0], 0.2, 10, 1.0)
    assert (kept == logits).all()


def test_imitation_goes_to_the_frequencies_of_what_is_kept() -> None:
    state, action = np.zeros(10, int), np.array([0] * 7 + [1] * 3)
    moved = chain.imitate(np.zeros((1, 2)), state, action, np.ones(10, bool), 400, 2.0)
    np.testing.assert_allclose(chain.chances(moved)[0], [0.7, 0.3], atol=1e-3)


@pytest.mark.filterwarnings("ignore")
def test_tiny_roles_grow_trees_and_learn_their_pairs() -> None:
    torch = pytest.importorskip("torch", reason="needs the extra posttrain")
    pytest.importorskip("transformers", reason="needs the extra posttrain")
    from shoal.models.causal.network import tiny_network
    from shoal.models.causal.tokenizers import CharacterTokenizer
    from shoal.posttrain.branching import grow
    from shoal.posttrain.malt import MaltSettings, Tree, graded, train_role
    from shoal.posttrain.policies import make_policies
    from shoal.tasks.catalogue import open_task
    from shoal.teams.catalogue import open_team

    torch.set_num_threads(1)
    plan = open_team("critique:agents=3")
    names = [agent.name for agent in plan.agents]
    policies = make_policies(names, tiny_network(0, width=16, layers=1, heads=2, inner=16), CharacterTokenizer())
    settings = MaltSettings(branches=2, preference_rate=1e-2, epochs=4)
    problems = open_task("choose").problems(3, 0)
    grown = grow(plan.run, plan.agents, problems, policies, branches=2, seed=0, temperature=0.7, max_tokens=6)
    trees = [graded(p, nodes, settings) for p, (nodes, _) in zip(problems, grown, strict=True)]
    assert [len(t.nodes) for t in trees] == [14] * 3
    # A grade of our own, so that there are pairs.
    nodes = [
        [Node(n.parent, n.role, n.text, n.prompt, n.tokens, None if n.right is None else i % 2 == 0)
         for i, n in enumerate(t.nodes)]
        for t in trees
    ]  # fmt: skip
    mixed = [Tree(p, n, values(n), pairs(n, values(n))) for p, n in zip(problems, nodes, strict=True)]
    told = train_role(policies[names[2]], 2, mixed, settings, True, 0)
    assert told["pairs"] > 0 and told["margin"] > 0 and told["imitated"] > 0
    nothing = train_role(policies[names[0]], 0, [Tree(p, [], np.zeros(0), []) for p in problems], settings, True, 0)
    assert nothing == {"imitated": 0.0, "pairs": 0.0}
