"""Any OpenAI-compatible chat endpoint: a vendor, vLLM, Ollama, llama.cpp.

Two routes are all that is needed, so this is a thin typed client on aiohttp and no vendor's library.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import Any, NamedTuple

import orjson

from shoal.errors import InputError
from shoal.models.interface import Completion, Model, Request, TokenLogprob
from shoal.models.prices import Price, price_table
from shoal.models.transport import BadReply, RequestError, Transport, key_from
from shoal.stats import Evidence
from shoal.traces import Usage

OPENAI_URL = "https://api.openai.com/v1"

_OPTIONAL = frozenset({"response_format", "temperature", "seed", "stop", "logprobs", "top_logprobs"})
"""Fields that a request can do without where a server refuses them."""

_SCHEMA_WORDS = re.compile(r"response.?format|schema|guided|grammar", re.I)
_UNSUPPORTED = re.compile(r"unsupported|not support|unknown|unrecogni[sz]ed", re.I)


class _Reply(NamedTuple):
    text: str
    finish: str
    prompt_tokens: int | None
    completion_tokens: int | None
    logprobs: tuple[TokenLogprob, ...] | None


class Endpoint(Model):
    """One model behind an OpenAI-compatible endpoint.

    A field that the server refuses with 400 is given up, remembered for later calls, and counted in the completion's
    failures as "unsupported FIELD": ``response_format``, then replies are constrained by the prompt alone;
    ``max_tokens``, which newer models want as ``max_completion_tokens``; ``temperature``, which some fix.

    Args:
        base_url: what ``/chat/completions`` is added to.
        model: the model's name at that server.
        key: secret sent as bearer token; never part of identity, errors or traces.
        spec: the string that the user named the model by.
        context: most tokens of prompt and reply together, if known.
        settings: of the connection: ``concurrency``, ``timeout``, ``retries``, ``backoff``, ``read_limit``, ``seed``;
            see Transport for defaults and ranges.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        key: str | None = None,
        spec: str | None = None,
        context: int | None = None,
        **settings: Any,
    ) -> None:
        if not model:
            raise InputError("endpoint", base_url, "Name the model after #: http://host:port/v1#NAME.")
        self.transport = Transport(base_url, key=key, **settings)
        self.model = model
        self.identity = f"endpoint:{self.transport.base_url}#{model}"
        self.spec = spec or f"{self.transport.base_url}#{model}"
        self.evidence = Evidence.ENDPOINT
        self.context = context
        self._refused: set[str] = set()
        self._price: Price | None = None
        self._priced = False

    @classmethod
    def from_url(cls, url: str, *, key: str | None = None, **settings: Any) -> Endpoint:
        """The endpoint ``http://host:port/v1#NAME``; the key is taken from SHOAL_API_KEY unless given."""
        base_url, _, model = url.partition("#")
        return cls(base_url, model, key=key or key_from("SHOAL_API_KEY"), spec=url, **settings)

    @classmethod
    def openai(cls, model: str, *, key: str | None = None, **settings: Any) -> Endpoint:
        """A model of the vendor; key in OPENAI_API_KEY, another base URL in OPENAI_BASE_URL."""
        base_url = os.environ.get("OPENAI_BASE_URL") or OPENAI_URL
        key = key or key_from("OPENAI_API_KEY")
        if key is None and base_url == OPENAI_URL:
            raise InputError("model", f"openai:{model}", "It needs a key: export OPENAI_API_KEY=...")
        return cls(base_url, model, key=key, key_hint="OPENAI_API_KEY", spec=f"openai:{model}", **settings)

    async def complete(self, request: Request) -> Completion:
        """Answer one request; failed attempts before the reply are counted by kind in ``failures``.

        Raises:
            RequestError: a ModelError with the kind of the last failure: an HTTP status ("429", "503", "401"),
                "refused", "unknown host", "timeout", "disconnected", "tls", "bad json", "empty choices",
                "null content", "refusal", "wrong schema", "wrong content type", "too large".
            NetworkForbidden: another machine, while ``SHOAL_OFFLINE`` is set.
        """
        given_up: Counter[str] = Counter()
        while True:
            sent = self._body(request)
            try:
                reply, failures, seconds = await self.transport.post(
                    "/chat/completions", orjson.dumps(sent), _read_reply
                )
                break
            except RequestError as error:
                field = _refused_field(error, sent)
                if field is None:
                    raise
                self._refused.add(field)
                given_up[f"unsupported {field}"] += 1
        if given_up:
            failures = dict(given_up + Counter(failures))
        read, written = reply.prompt_tokens, reply.completion_tokens
        if read is None:
            read = self.count_prompt(request.messages)
        if written is None:
            written = self.count_tokens(reply.text)
        usage = Usage(prompt_tokens=read, completion_tokens=written, calls=1, seconds=seconds)
        return Completion(reply.text, usage, reply.finish, reply.logprobs if request.logprobs else None, failures)

    async def aclose(self) -> None:
        """Close the connections of the running event loop; the next call opens new ones."""
        await self.transport.aclose()

    def price(self, usage: Usage) -> float:
        """US dollars by the price table; 0 for a model that is not in it."""
        if not self._priced:
            self._price, self._priced = price_table().find(self.model), True
        return self._price.cost(usage) if self._price else 0.0

    def _body(self, request: Request) -> dict[str, Any]:
        """The JSON that is sent. The routing data ``question`` and ``agent`` are not in it."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": request.messages,
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "seed": request.seed % 2**31,
        }
        if request.stop:
            body["stop"] = request.stop
        if request.logprobs:
            body["logprobs"] = True
            body["top_logprobs"] = request.logprobs
        if request.schema is not None:
            name = re.sub(r"[^A-Za-z0-9_-]", "_", str(request.schema.get("title", "reply")))[:64] or "reply"
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": name, "schema": request.schema}}
        if self._refused:
            if "max_tokens" in self._refused:
                body["max_completion_tokens"] = body["max_tokens"]
            for field in self._refused:
                body.pop(field, None)
            if "logprobs" in self._refused:
                body.pop("top_logprobs", None)
        return body


def _refused_field(error: RequestError, sent: dict[str, Any]) -> str | None:
    """The field of a sent body that an error reply refuses and that the request can do without, or None."""
    if error.status not in (400, 422):
        return None
    said = str(error)
    if "max_tokens" in sent and "max_completion_tokens" in said:
        return "max_tokens"
    if "response_format" in sent and _SCHEMA_WORDS.search(said):
        return "response_format"
    field = error.field.partition(".")[0]
    if field in _OPTIONAL and field in sent and _UNSUPPORTED.search(said):
        return field
    return None


def _read_reply(content: Any) -> _Reply:
    if not isinstance(content, dict) or not isinstance(content.get("choices"), list):
        error = content.get("error") if isinstance(content, dict) else None
        raise BadReply("wrong schema", f"no choices in the reply{f' but an error: {error}'[:200] if error else ''}")
    if not content["choices"]:
        raise BadReply("empty choices", "the reply has no choice in it")
    choice = content["choices"][0]
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise BadReply("wrong schema", "choices[0].message is missing")
    finish = choice.get("finish_reason")
    finish = finish if isinstance(finish, str) else "stop"
    usage = content.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    return _Reply(
        _text(message, finish),
        finish,
        _count(usage.get("prompt_tokens")),
        _count(usage.get("completion_tokens")),
        _read_logprobs(choice.get("logprobs")),
    )


def _text(message: dict[str, Any], finish: str) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if content is None:
        if isinstance(message.get("refusal"), str):
            raise BadReply("refusal", message["refusal"][:200], final=True)
        if finish == "length":  # all tokens went into hidden reasoning: an empty reply, not a broken one
            return ""
        raise BadReply("null content", "choices[0].message.content is null")
    if isinstance(content, list):
        parts = [part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)]
        if parts:
            return "".join(parts)
    raise BadReply("wrong schema", "choices[0].message.content is not a text")


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _read_logprobs(content: Any) -> tuple[TokenLogprob, ...] | None:
    """Log-probabilities in the form of the chat route, or None if there are none or they are in another form."""
    try:
        return tuple(
            TokenLogprob(
                str(entry["token"]),
                float(entry["logprob"]),
                tuple((str(other["token"]), float(other["logprob"])) for other in entry.get("top_logprobs") or ()),
            )
            for entry in content["content"]
        )
    except (TypeError, KeyError, ValueError, AttributeError):
        return None
