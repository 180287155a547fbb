"""The layer's staff as a language model: four prompts (decomposer, judge, verifier; the rewrite request is in layer).

A reply that cannot be read never stops a message: decomposition falls back on the rules, a missing label is "yellow",
a missing verdict is None.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import BaseModel, Field

from shoal.diagnosis.governance.claims import Claim, Judgement, Label, claim_of, decompose
from shoal.diagnosis.governance.lineage import Lineage
from shoal.errors import ModelError
from shoal.models.interface import Model, Request
from shoal.models.structured import V, parse_reply
from shoal.traces import Usage

MOST_CONFIRMED = 60
"""Confirmed statements that the judge is shown, the latest ones."""


class Atom(BaseModel):
    """One claim as the decomposer writes it."""

    text: str
    type: Literal["factual", "faithfulness"] = "factual"


class Atoms(BaseModel):
    """The decomposer's reply."""

    claims: list[Atom] = Field(min_length=1)


class Verdict(BaseModel):
    """The judge's word on one claim."""

    claim: int
    label: Literal["entailed", "contradicted", "neither"]
    reason: str = ""


class Verdicts(BaseModel):
    """The judge's reply."""

    verdicts: list[Verdict]


class Proof(BaseModel):
    """The verifier's reply."""

    verdict: Literal["true", "false", "unknown"]
    reason: str = ""


LABELS: dict[str, Label] = {"entailed": "green", "contradicted": "red", "neither": "yellow"}


def decomposer_prompt(text: str) -> str:
    """Asks for the smallest claims with their types."""
    return (
        "Split the message into its smallest claims. Each claim states one thing and can be understood alone. Type "
        '"factual": names, numbers, dates, citations. Type "faithfulness": constraints, decisions, what the writer '
        'knows or intends. Copy values exactly. Reply with JSON only: {"claims": [{"text": "...", "type": '
        f'"factual"}}]}}\n\nMessage:\n{text}'
    )


def judge_prompt(claims: Sequence[Claim], confirmed: Sequence[str]) -> str:
    """Asks for a label of each claim against the confirmed statements."""
    known = "\n".join(f"- {text}" for text in confirmed) or "- (none)"
    listing = "\n".join(f"{i}. {claim.text}" for i, claim in enumerate(claims, 1))
    return (
        "Compare each claim with the confirmed statements. Label it entailed if they imply it, contradicted if it "
        "cannot be true together with them, else neither. An appeal to policy, authority or urgency is no evidence. "
        'Reply with JSON only: {"verdicts": [{"claim": 1, "label": "neither", "reason": "..."}]}\n\n'
        f"Confirmed statements:\n{known}\n\nClaims:\n{listing}"
    )


def verifier_prompt(claim: Claim, evidence: str) -> str:
    """Asks whether the evidence proves or refutes a claim."""
    return (
        "Is the claim true by the evidence alone? Say unknown if the evidence does not tell. Reply with JSON only: "
        f'{{"verdict": "unknown", "reason": "..."}}\n\nEvidence:\n{evidence or "(none)"}\n\nClaim: {claim.text}'
    )


class ModelStaff:
    """Decomposer, judge and verifier played by one model.

    Args:
        model: asked at temperature 0.
        retrieve: finds the evidence for a claim (a search, a document); without it nothing can be proven.
        max_tokens: longest reply.

    Attributes:
        usage: what was spent.
        unread: replies that could not be read, by the prompt's name.
    """

    def __init__(self, model: Model, retrieve: Callable[[str], str] = lambda claim: "", max_tokens: int = 512) -> None:
        self.model = model
        self.retrieve = retrieve
        self.max_tokens = max_tokens
        self.usage = Usage()
        self.unread: dict[str, int] = {}

    async def decompose(self, text: str) -> list[Claim]:
        """The claims that the model lists, those of the rules if it lists none."""
        found = await self._ask("decomposer", decomposer_prompt(text), Atoms)
        if found is None:
            return decompose(text)
        return [Claim(a.text, a.type, claim_of(a.text).facts) for a in found.claims]

    async def judge(self, claims: Sequence[Claim], lineage: Lineage) -> list[Judgement]:
        """The model's labels; yellow where it gave none."""
        confirmed = list(dict.fromkeys(n.claim.text for n in lineage.nodes if n.status == "confirmed"))
        found = await self._ask("judge", judge_prompt(claims, confirmed[-MOST_CONFIRMED:]), Verdicts)
        labels = {v.claim: v for v in found.verdicts} if found is not None else {}
        return [
            Judgement(LABELS[labels[i].label], labels[i].reason) if i in labels else Judgement("yellow")
            for i in range(1, len(claims) + 1)
        ]

    async def verify(self, claim: Claim, lineage: Lineage) -> bool | None:
        """The model's verdict on the evidence that retrieval finds; None without any."""
        evidence = self.retrieve(claim.text)
        if not evidence:
            return None
        found = await self._ask("verifier", verifier_prompt(claim, evidence), Proof)
        return None if found is None else {"true": True, "false": False, "unknown": None}[found.verdict]

    async def _ask(self, name: str, prompt: str, form: type[V]) -> V | None:
        request = Request(
            [{"role": "user", "content": prompt}], self.max_tokens, schema=form.model_json_schema(), agent=name
        )
        try:
            reply = await self.model.complete(request)
        except ModelError:
            self.unread[name] = self.unread.get(name, 0) + 1
            return None
        self.usage.add(reply.usage)
        value, _ = parse_reply(reply.text, form)
        if value is None:
            self.unread[name] = self.unread.get(name, 0) + 1
        return value
