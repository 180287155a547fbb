"""Who talks to whom in which role: what ``--with roles`` adds to a diagnosis.

A forum of many agents gets the clustering of ``shoal.diagnosis.roles`` with its null; a team of a few gets plain words:
who opens, who only answers, who stands between the others, who is not heard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from shoal.diagnosis.conversation import Conversation, is_agent
from shoal.diagnosis.forum.features import role_features
from shoal.diagnosis.forum.interactions import Graph, betweenness, graph_of, interactions
from shoal.diagnosis.forum.sources import log_of
from shoal.diagnosis.roles import FEWEST, find_roles, role_table
from shoal.diagnosis.sections import ANALYSES, Bar, Section

MOST_SHOWN = 12
LEAST_EVENTS = 10
"""Contributions of an agent on average, from which clusters are looked for."""


@ANALYSES.register("roles")
def roles(conversations: Sequence[Conversation], detail: str = "") -> Section:
    """Roles of the agents of a run, and the heaviest ties between them; all conversations together."""
    names, talk = _talk(conversations)
    said = Counter(s.agent for c in conversations for s in c.steps if s.kind == "said" and is_agent(s.agent))
    opened = Counter(
        next((s.agent for s in c.steps if s.kind == "said" and is_agent(s.agent)), "") for c in conversations
    )
    if not names:
        return Section("roles", "Nobody said anything: no roles.", (), {"agents": [], "ties": []})
    graph = graph_of(len(names), *_numbers(names, talk))
    between = betweenness(graph, len(names), np.random.default_rng(0))
    words = _words(names, graph, between, opened)
    ties = sorted(talk.items(), key=lambda item: (-item[1], item[0]))
    enough = len(names) >= FEWEST and sum(said.values()) >= LEAST_EVENTS * len(names)
    clusters = _clusters(conversations) if enough else []
    total = max(1, sum(said.values()))
    bars = [
        Bar(name, said[name] / total, f"{said[name]} said; {words[name]}") for name, _ in said.most_common(MOST_SHOWN)
    ]
    lines = [f"{a} -> {b}: {n} times ({words[a]} to {words[b]})" for (a, b), n in ties[:MOST_SHOWN]]
    lines += [f"{name}: {count} agents, {what}" for name, count, what in clusters]
    document = {
        "agents": [
            {"agent": n, "role": words[n], "said": said[n], "opened": opened[n], "betweenness": round(float(b), 3)}
            for n, b in zip(names, between, strict=True)
        ],
        "ties": [{"from": a, "to": b, "times": n} for (a, b), n in ties],
        "clusters": [{"role": name, "agents": count, "habits": what} for name, count, what in clusters],
        "edge": "from -> to: what the first said was handed to the second, or used by it",
    }
    return Section("roles", _headline(names, words, ties), lines, document, bars)


def _talk(conversations: Sequence[Conversation]) -> tuple[list[str], Counter[tuple[str, str]]]:
    """Agents in the order of appearance, and how often one's words reached another: delivered, or named as a parent."""
    names = list(dict.fromkeys(a for c in conversations for a in c.agents))
    known = set(names)
    talk: Counter[tuple[str, str]] = Counter()
    for view in conversations:
        reached: set[tuple[int, str]] = set()
        for delivery in view.deliveries:
            if delivery.step is not None:
                reached |= {(delivery.step, r) for r in delivery.receivers}
        for step in view.steps:
            reached |= {(view.by_event[p], step.agent) for p in step.event.parents if p in view.by_event}
        pairs = ((view.steps[s].agent, receiver) for s, receiver in reached)
        talk.update((a, b) for a, b in pairs if a != b and a in known and b in known)
        if not reached:  # plain transcripts say nothing about receivers: each step answers the one before it
            agents = [s.agent for s in view.steps if s.agent in known]
            talk.update((a, b) for a, b in pairwise(agents) if a != b)
    return names, talk


def _numbers(names: list[str], talk: Counter[tuple[str, str]]) -> tuple[np.ndarray, np.ndarray]:
    place = {name: i for i, name in enumerate(names)}
    rows = [(place[a], place[b]) for (a, b), times in talk.items() for _ in range(times)]
    pairs = np.array(rows, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _words(names: list[str], graph: Graph, between: np.ndarray, opened: Counter[str]) -> dict[str, str]:
    """A role in one word for each agent, from its place in the graph."""
    out, into = np.asarray(graph.sum(axis=1)).ravel(), np.asarray(graph.sum(axis=0)).ravel()
    hub = int(np.argmax(between)) if len(names) > 2 and between.max() > 1.5 * np.median(between) else -1
    found = {}
    for i, name in enumerate(names):
        if out[i] + into[i] == 0:
            found[name] = "loner"
        elif i == hub:
            found[name] = "hub"
        elif into[i] == 0:
            found[name] = "source"
        elif out[i] == 0:
            found[name] = "closer"
        elif opened[name] and opened[name] == max(opened.values()):
            found[name] = "opener"
        else:
            found[name] = "peer"
    return found


def _clusters(conversations: Sequence[Conversation]) -> Sequence[tuple[str, int, str]]:
    log = log_of(conversations)
    return role_table(find_roles(role_features(log, interactions(log)), starts=20, bootstraps=50))


def _headline(names: list[str], words: dict[str, str], ties: list[tuple[tuple[str, str], int]]) -> str:
    kinds = Counter(words[n] for n in names)
    told = ", ".join(f"{n} {kind}{'s' * (n > 1)}" for kind, n in kinds.most_common())
    if not ties:
        return f"{len(names)} agents who do not talk to each other: {told}."
    (a, b), times = ties[0]
    return f"{len(names)} agents: {told}. Most is said from {a} to {b} ({times} times)."
