"""Usage edges: which step used what an earlier step had said; each edge says where it is known from and how surely.

Four sources, the surest first: parents that the trace declares; words that stood in the prompt or are quoted; rare
content (numbers, names, addresses) that occurs in both; a named reference ("as ann found"). Where a trace gives none of
these for a step, it is taken to follow from the step before it, with little confidence. A model may be asked too.
The order is that of GraphTracer's page (arXiv 2510.10581, withdrawn; the graph idea is used, none of its numbers).
"""

from __future__ import annotations

import asyncio
import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from shoal.diagnosis.answers import NUMBER, plain_number
from shoal.diagnosis.conversation import Conversation, Step, is_agent, same

if TYPE_CHECKING:
    from shoal.models.interface import Model

Origin = Literal["declared", "quoted", "content", "reference", "model", "order"]
CONFIDENCE: dict[Origin, float] = {
    "declared": 1.0, "quoted": 0.95, "content": 0.8, "reference": 0.6, "model": 0.7, "order": 0.2,
}  # fmt: skip
"""Most that an edge of each origin can be trusted; content edges get their share of it by overlap."""

MOST_PARENTS = 3
LEAST_OVERLAP = 0.12
LEAST_QUOTE = 24
MOST_BACK = 400
"""Steps back that a prompt is searched for; older words are found as rare content."""
MOST_HOLDERS = 60
"""Latest steps with a term that are considered: keeps long runs linear."""
REPEATED = 0.3
"""What a rare term counts for a step that only repeats it, where 1 is for the step that brought it up. Tuned on made-up
runs, as the least overlap was."""
_URL = re.compile(r"https?://[^\s\"'<>)\]]+")
_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][A-Za-z0-9_\-]{2,}")
_WORDS = re.compile(r"[a-z][a-z'\-]{4,}")


@dataclass(frozen=True, slots=True)
class UsageEdge:
    """The target step used what the source step said.

    Attributes:
        source: index of the earlier step.
        target: index of the later step.
        origin: where this is known from.
        confidence: how surely, in (0, 1].
        evidence: the words that show it; empty for declared edges.
    """

    source: int
    target: int
    origin: Origin
    confidence: float
    evidence: str = ""


@dataclass
class UsageGraph:
    """The steps of a conversation and who used whom.

    Attributes:
        size: number of steps.
        edges: at most one for each pair of steps, the surest.
        dropped: references that point forward or form a cycle; left out.
    """

    size: int
    edges: list[UsageEdge]
    dropped: int = 0
    _parents: list[list[UsageEdge]] = field(default_factory=list)
    _children: list[list[UsageEdge]] = field(default_factory=list)

    def __post_init__(self) -> None:
        best: dict[tuple[int, int], UsageEdge] = {}
        for edge in self.edges:
            if not 0 <= edge.source < edge.target < self.size:
                self.dropped += 1
                continue
            pair = (edge.source, edge.target)
            if pair not in best or best[pair].confidence < edge.confidence:
                best[pair] = edge
        self.edges = sorted(best.values(), key=lambda e: (e.target, e.source))
        self._parents = [[] for _ in range(self.size)]
        self._children = [[] for _ in range(self.size)]
        for edge in self.edges:
            self._parents[edge.target].append(edge)
            self._children[edge.source].append(edge)

    def parents(self, step: int) -> list[UsageEdge]:
        """Edges into a step."""
        return self._parents[step]

    def children(self, step: int) -> list[UsageEdge]:
        """Edges out of a step."""
        return self._children[step]

    def ancestors(self, step: int) -> set[int]:
        """Steps that the step was made from, over any number of edges."""
        return self._reach(step, [[e.source for e in edges] for edges in self._parents])

    def descendants(self, step: int) -> set[int]:
        """Steps that were made from the step, over any number of edges."""
        return self._reach(step, [[e.target for e in edges] for edges in self._children])

    def path(self, source: int, target: int) -> list[int]:
        """The surest way from one step to a later one (greatest product of confidences); empty if there is none."""
        best, before = {source: 0.0}, dict[int, int]()
        for step in range(source, target + 1):  # steps are in topological order
            if step in best:
                for edge in self._children[step]:
                    cost = best[step] - math.log(edge.confidence)
                    if cost < best.get(edge.target, math.inf):
                        best[edge.target], before[edge.target] = cost, step
        if target not in best:
            return []
        way = [target]
        while way[-1] != source:
            way.append(before[way[-1]])
        return way[::-1]

    @staticmethod
    def _reach(step: int, towards: list[list[int]]) -> set[int]:
        seen: set[int] = set()
        left = [step]
        while left:
            for other in towards[left.pop()]:
                if other not in seen:
                    seen.add(other)
                    left.append(other)
        return seen


def usage_graph(conversation: Conversation, extra: Sequence[UsageEdge] = ()) -> UsageGraph:
    """The usage graph of a conversation, from all sources that need no model, and from ``extra`` edges."""
    edges = [*declared(conversation), *quoted_in_prompts(conversation)]
    known = {edge.target for edge in edges}
    edges += shared_content(conversation, known)
    edges += named(conversation)
    edges += extra
    used = {edge.target for edge in edges if edge.source < edge.target}
    for step in conversation.steps[1:]:
        if step.index not in used and not step.prompt:
            edges.append(UsageEdge(step.index - 1, step.index, "order", CONFIDENCE["order"]))
    return UsageGraph(len(conversation.steps), edges)


def declared(conversation: Conversation) -> list[UsageEdge]:
    """Edges from the parents of events; events that are no steps hand theirs on."""
    parents = {event.id: event.parents for event in conversation.events}
    where = conversation.by_event
    edges = []
    for step in conversation.steps:
        left, seen = list(step.event.parents), set[str]()
        while left:
            name = left.pop()
            if name in seen:
                continue
            seen.add(name)
            index = where.get(name)
            if index is None:
                left.extend(parents.get(name, ()))
            elif index != step.index:
                edges.append(UsageEdge(index, step.index, "declared", CONFIDENCE["declared"]))
    return edges


def quoted_in_prompts(conversation: Conversation) -> list[UsageEdge]:
    """Edges to steps whose recorded prompt holds the words of an earlier step."""
    edges = []
    texts = [same(step.text) for step in conversation.steps]
    for step in conversation.steps:
        if not step.prompt:
            continue
        prompt = same(step.prompt)
        lines = {same(line) for line in step.prompt.splitlines()}
        for earlier in conversation.steps[max(0, step.index - MOST_BACK) : step.index]:
            words = texts[earlier.index][: LEAST_QUOTE * 8]
            # A short text may stand anywhere by chance; as a whole line it was handed over.
            if words and (words in prompt if len(words) >= LEAST_QUOTE else words in lines):
                edges.append(UsageEdge(earlier.index, step.index, "quoted", CONFIDENCE["quoted"], words[:120]))
    return edges


def shared_content(conversation: Conversation, known: set[int] | frozenset[int] = frozenset()) -> list[UsageEdge]:
    """Edges by rare content that two steps share, weighted by inverse document frequency; the best MOST_PARENTS.

    Steps in ``known`` have surer edges and are passed over.
    """
    terms = [rare_terms(step.text) for step in conversation.steps]
    given = rare_terms(conversation.question)
    frequency = Counter(term for found in terms for term in found)
    total = len(terms) + 1
    weight = {t: math.log(total / n) * (0.2 if t in given else 1.0) for t, n in frequency.items()}
    holders: dict[str, list[int]] = {}
    edges = []
    for step in conversation.steps:
        own = terms[step.index]
        if step.prompt:  # what did not stand in the prompt was not used, however alike two texts are
            own = (own & rare_terms(step.prompt)) - given
        if step.index not in known:
            scores: Counter[int] = Counter()
            for term in own:
                held = holders.get(term, [])
                for earlier in held[-MOST_HOLDERS:]:
                    scores[earlier] += weight[term] * (1.0 if earlier == held[0] else REPEATED)  # type: ignore[assignment]
            whole = sum(weight[t] for t in own) or 1.0
            for earlier, score in sorted(scores.items(), key=lambda s: (-s[1], -s[0]))[:MOST_PARENTS]:
                share = score / whole
                words = sorted(own & terms[earlier], key=lambda t: (-weight[t], t))[:5]
                if share >= LEAST_OVERLAP and len(words) >= (3 if step.prompt else 1):
                    sure = CONFIDENCE["content"] * min(1.0, 0.3 + share)
                    edges.append(UsageEdge(earlier, step.index, "content", sure, ", ".join(words)))
        for term in terms[step.index]:
            holders.setdefault(term, []).append(step.index)
    return edges


def named(conversation: Conversation) -> list[UsageEdge]:
    """Edges to steps that name another agent, from that agent's last step before."""
    patterns = {
        name: re.compile(rf"(?<![\w\-]){re.escape(name)}(?![\w\-])", re.IGNORECASE)
        for name in conversation.agents[:200]
        if len(name) > 1
    }
    last: dict[str, int] = {}
    edges = []
    for step in conversation.steps:
        if step.kind == "said":
            for name, pattern in patterns.items():
                if name != step.agent and name in last and (match := pattern.search(step.text)):
                    words = step.text[max(0, match.start() - 20) : match.end() + 40].replace("\n", " ")
                    edges.append(UsageEdge(last[name], step.index, "reference", CONFIDENCE["reference"], words))
        if is_agent(step.agent):
            last[step.agent] = step.index
    return edges


def rare_terms(text: str) -> set[str]:
    """Numbers, capitalised names, addresses and longer words of a text, as terms to compare."""
    text = text[:20_000]
    terms = {plain_number(n) for n in NUMBER.findall(text)}
    terms |= {m.lower() for m in _NAME.findall(text)} | set(_URL.findall(text))
    return terms | set(_WORDS.findall(text.lower()))


async def extracted_by(model: Model, conversation: Conversation, window: int = 12) -> list[UsageEdge]:
    """Edges that a model names when it is asked, for each step, which of the steps before it was used.

    Args:
        model: asked once for each step, all at the same time; an unreadable or lost reply gives no edge.
        conversation: what is looked at.
        window: earlier steps that are shown.
    """
    from shoal.errors import ModelError
    from shoal.models.interface import Request

    async def ask(step: Step) -> list[UsageEdge]:
        shown = conversation.steps[max(0, step.index - window) : step.index]
        listing = "\n".join(f"[{s.index}] {s.agent}: {' '.join(s.text.split())[:300]}" for s in shown)
        prompt = (
            f"Earlier steps:\n{listing}\n\nStep in question, by {step.agent}: {' '.join(step.text.split())[:800]}\n\n"
            "Which earlier steps does it use? Reply only with a JSON list of their numbers."
        )
        try:
            reply = await model.complete(Request([{"role": "user", "content": prompt}], max_tokens=60))
        except ModelError:
            return []
        match = re.search(r"\[[\d,\s]*\]", reply.text)
        numbers = json.loads(match.group()) if match else []
        return [
            UsageEdge(n, step.index, "model", CONFIDENCE["model"]) for n in numbers if n in {s.index for s in shown}
        ]

    found = await asyncio.gather(*(ask(step) for step in conversation.steps[1:]))
    return [edge for edges in found for edge in edges]
