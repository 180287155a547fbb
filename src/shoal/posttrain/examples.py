"""Replies to imitate and pairs to prefer: from JSON Lines, from the trace of a team's run, and back to a file.

A line of examples has ``role``, ``prompt`` and ``reply``; a line of pairs ``role``, ``prompt``, ``chosen`` and
``rejected``. A prompt is a text, a chat (messages with role and content) or token ids; a reply is a text, to which the
token that ends one is added. Where ``reply_tokens`` (``chosen_tokens``, ...) stand beside a text, they count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from shoal.errors import InputError
from shoal.posttrain.policies import Policy
from shoal.traces import Event

EVENTS = "events.jsonl"
"""A run's trace, in its folder."""
EXAMPLE_FORM = '{"role": ..., "prompt": ..., "reply": ...}'
PAIR_FORM = '{"role": ..., "prompt": ..., "chosen": ..., "rejected": ...}'

Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Example:
    """A reply to imitate: whose it is, the token ids read, and those written."""

    role: str
    prompt: Tokens
    reply: Tokens


@dataclass(frozen=True)
class Preference:
    """Two replies to one prompt, as token ids; the first is the better one."""

    role: str
    prompt: Tokens
    chosen: Tokens
    rejected: Tokens


def read_examples(path: Path, policies: Mapping[str, Policy]) -> list[Example]:
    """Examples for trained roles: of a file, or of a run folder's trace what the team wrote where it was right.

    Raises:
        InputError: no such file, a field that is wrong (with file and line), a role that is not trained, a sequence
            longer than the context, a trained role without examples.
    """
    trace = path / EVENTS if path.is_dir() else path
    if path.is_dir() or path.name == EVENTS:
        examples = _rights_of(trace, policies)
    else:
        rows = [_Row(path, number, record, policies) for number, record in _records(path, EXAMPLE_FORM)]
        examples = [Example(row.role, row.prompt, row.reply("reply")) for row in rows]
    _check_roles(path, {e.role for e in examples}, policies)
    return examples


def read_preferences(path: Path, policies: Mapping[str, Policy]) -> list[Preference]:
    """Pairs for trained roles; raises as ``read_examples`` does, and where both replies are the same."""
    pairs = []
    for number, record in _records(path, PAIR_FORM):
        row = _Row(path, number, record, policies)
        pair = Preference(row.role, row.prompt, row.reply("chosen"), row.reply("rejected"))
        if pair.chosen == pair.rejected:
            raise InputError(f"{path}:{number} rejected", record["rejected"], "It is the chosen reply; give another.")
        pairs.append(pair)
    _check_roles(path, {p.role for p in pairs}, policies)
    return pairs


def write_rows(path: Path, rows: Sequence[Example | Preference], policies: Mapping[str, Policy]) -> None:
    """Write examples or pairs as JSON lines, replies as texts and as token ids."""
    lines = []
    for row in rows:
        tokenizer = policies[row.role].tokenizer
        line: dict[str, Any] = {"role": row.role, "prompt": row.prompt}
        for field, tokens in vars(row).items():
            if field not in line:
                line |= {field: tokenizer.decode(tokens), f"{field}_tokens": tokens}
        lines.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
    path.write_bytes(b"".join(lines))


@dataclass(frozen=True)
class _Row:
    """One line of a file, with what is needed to read it."""

    path: Path
    number: int
    record: Mapping[str, Any]
    policies: Mapping[str, Policy]

    @property
    def role(self) -> str:
        role = self.record.get("role")
        if role not in self.policies:
            raise self._wrong("role", role, f"No trained agent has that name; trained are {', '.join(self.policies)}.")
        return str(role)

    @property
    def prompt(self) -> Tokens:
        given, tokenizer = self.record.get("prompt"), self.policies[self.role].tokenizer
        if isinstance(given, str) and given:
            return tuple(tokenizer.encode_chat([{"role": "user", "content": given}]))
        if not isinstance(given, list) or not given:
            raise self._wrong("prompt", given, "Give a text, a chat, or token ids.")
        if _is_chat(given):
            return tuple(tokenizer.encode_chat(given))
        return self._ids("prompt", given)

    def reply(self, field: str) -> Tokens:
        given, tokens = self.record.get(field), self.record.get(f"{field}_tokens")
        policy = self.policies[self.role]
        if tokens is not None:
            found = self._ids(f"{field}_tokens", tokens)
        elif isinstance(given, str) and given:
            found = (*policy.tokenizer.encode(given), policy.tokenizer.end[0])
        else:
            raise self._wrong(field, given, "Give the text of a reply.")
        size = len(self.prompt) + len(found)
        if size > policy.context:
            mend = f"The model takes {policy.context} tokens of prompt and reply together; shorten it."
            raise self._wrong(field, f"{size} tokens with its prompt", mend)
        return found

    def _ids(self, field: str, given: Any) -> Tokens:
        size = self.policies[self.role].tokenizer.size
        whole = isinstance(given, list) and all(isinstance(i, int) and not isinstance(i, bool) for i in given)
        if not whole or not given or not all(0 <= i < size for i in given):
            raise self._wrong(field, given, f"Token ids are whole numbers from 0 to {size - 1}.")
        return tuple(given)

    def _wrong(self, field: str, value: Any, mend: str) -> InputError:
        return InputError(f"{self.path}:{self.number} {field}", value, mend)


def _records(path: Path, form: str) -> list[tuple[int, dict[str, Any]]]:
    from shoal.tasks.files import read_jsonl

    return list(read_jsonl(path, form))


def _is_chat(given: Sequence[Any]) -> bool:
    return all(isinstance(m, dict) and {"role", "content"} <= set(m) and isinstance(m["content"], str) for m in given)


def _check_roles(path: Path, found: set[str], policies: Mapping[str, Policy]) -> None:
    lonely = sorted(set(policies) - found)
    if lonely:
        raise InputError("--train", lonely[0], f"{path} has nothing for it; name the agents that it is for in --train.")


def _rights_of(trace: Path, policies: Mapping[str, Policy]) -> list[Example]:
    """What trained agents wrote on the way to right answers in which all of them had a part, each once.

    Calls with a tool's result in them are passed over: the trace does not tell which tokens were the agent's own.
    """
    from shoal.traces import read_trace

    runs: dict[str, list[Event]] = {}  # ids are unique in a run, and a file may hold several
    for event in read_trace(trace).events:
        runs.setdefault(event.run, []).append(event)
    found: dict[Example, None] = {}
    for calls in (calls for events in runs.values() for calls in _right_calls(events)):
        if not set(policies) <= {call.agent for call in calls}:
            continue  # a baseline of the same run
        own = (_said(call, policies[call.agent]) for call in calls if call.agent in policies)
        found.update(dict.fromkeys(example for example in own if example is not None))
    if not found:
        mend = "In no right answer all trained agents had a part; the agents of both teams must have the same names."
        raise InputError("data", str(trace), mend)
    return list(found)


def _right_calls(events: Sequence[Event]) -> Iterator[list[Event]]:
    """For each right answer the calls that it was made from; those with a tool's result are left out."""
    from shoal.traces.causality import Causality

    cause, tools = Causality.of(events), {e.id for e in events if e.kind == "tool.result"}
    for position, event in enumerate(events):
        if event.kind == "task.end" and event.payload.get("correct"):
            before = (events[i] for i in cause.ancestors_of(position))
            yield [e for e in before if e.kind == "model.call" and not tools & set(e.parents)]


def _said(call: Event, policy: Policy) -> Example | None:
    """A call as tokens of the policy; None if it is empty or longer than the context."""
    prompt = policy.tokenizer.encode_chat(call.payload["prompt"])
    end = policy.tokenizer.end[:1] if call.payload.get("finish") == "stop" else ()
    reply = (*policy.tokenizer.encode(str(call.payload["text"])), *end)
    fits = call.payload["text"] and len(prompt) + len(reply) <= policy.context
    return Example(call.agent, tuple(prompt), reply) if fits else None
