"""The bundled local model itself, where it has been pulled: its tokenizer, its engine, parity with transformers."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shoal.errors import InputError, ModelError
from shoal.models.interface import ChatMessage, Completion, Request
from shoal.models.local import LocalModel, cards, is_ready, open_local
from shoal.models.local.cards import ModelFiles
from shoal.stats import Evidence
from tiny_gguf import byte_letters

pytestmark = pytest.mark.local_model

has_reference = all(importlib.util.find_spec(name) for name in ("torch", "transformers"))
needs_reference = pytest.mark.skipif(not has_reference, reason="needs the extra: pip install 'shoal[parity]'")


@pytest.fixture
def model() -> Iterator[LocalModel]:
    if cards.missing_packages() or not is_ready("smollm2"):
        pytest.skip("the local model is not there: shoal models pull smollm2")
    yield open_local("smollm2")


def asking(text: str, **settings: Any) -> Request:
    return Request([{"role": "user", "content": text}], **settings)


async def together(model: LocalModel, requests: list[Request]) -> list[Completion]:
    return list(await asyncio.gather(*(model.complete(request) for request in requests)))


PROMPTS = (
    "What is the capital of France?",
    "Who wrote Hamlet?",
    "What is 3 + 4? Answer with a number.",
    "Write a poem about rain.",
    "The password is zebra. What is the password?",
    "List three colours.",
    "Explain gravity to a child.",
    "Is 7 larger than 5? Answer yes or no.",
)

TEXTS = (
    "Hello, world! It's 12:30 on 2024-05-17.",
    "a  12 \n 7\t\t9  b",
    "don't we'll I'm they've",
    "naïve café — Ünïcode ½ ² 日本語 🙂",
    "def f(x):\n    return x ** 2  # 1000\n\n\n",
    "   leading and trailing   ",
)


def second_tokenizer(path: Path) -> Any:
    """The same tokenizer written again from its definition (pieces by expression, then merges by rank)."""
    regex = pytest.importorskip("regex")
    document = json.loads(path.read_text(encoding="utf-8"))["model"]
    vocabulary = document["vocab"]
    ranks = {tuple(m.split(" ") if isinstance(m, str) else m): i for i, m in enumerate(document["merges"])}
    letters = byte_letters()
    piece = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")

    @cache
    def merged(word: str) -> tuple[str, ...]:
        parts = list(word)
        while len(parts) > 1:
            best = min(range(len(parts) - 1), key=lambda i: ranks.get((parts[i], parts[i + 1]), math.inf))
            if (parts[best], parts[best + 1]) not in ranks:
                break
            parts[best : best + 2] = [parts[best] + parts[best + 1]]
        return tuple(parts)

    def encode(text: str) -> list[int]:
        ids = []
        for run in regex.findall(r"\p{N}|\P{N}+", text):
            for word in piece.findall(run):
                ids += [vocabulary[p] for p in merged("".join(letters[b] for b in word.encode()))]
        return ids

    return encode


def test_tokenizer_agrees_with_a_second_implementation(model: LocalModel) -> None:
    encode = second_tokenizer(ModelFiles.of(model.card).tokenizer)
    for text in (*TEXTS, *PROMPTS, Path(__file__).read_text(encoding="utf-8")[:4000]):
        assert model.tokenizer.encode(text) == encode(text), text
        assert model.tokenizer.decode(model.tokenizer.encode(text)) == text
        assert model.count_tokens(text) == len(encode(text))


def test_chat_template_adds_its_default_system_message(model: LocalModel) -> None:
    default = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
    user = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert model.tokenizer.render([{"role": "user", "content": "Hi"}]) == default + user
    own = model.tokenizer.render([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}])
    assert own == "<|im_start|>system\nBe brief.<|im_end|>\n" + user


async def test_answers_with_exact_usage_and_finish(model: LocalModel) -> None:
    done = await model.complete(asking("What is the capital of France?", max_tokens=30, logprobs=1))
    assert "Paris" in done.text and done.finish == "stop"
    rendered = model.tokenizer.render([{"role": "user", "content": "What is the capital of France?"}])
    # Three control tokens open turns and two close them; each is one token, and as plain text several.
    controls = len(re.findall(r"<\|im_(?:start|end)\|>", rendered))
    pieces = re.split(r"<\|im_(?:start|end)\|>", rendered)
    assert done.usage.prompt_tokens == controls + sum(model.count_tokens(piece) for piece in pieces)
    assert done.logprobs is not None
    assert "".join(t.token for t in done.logprobs) == done.text
    assert done.usage.completion_tokens == len(done.logprobs) + 1  # and the end of the turn
    assert all(t.logprob <= 0 for t in done.logprobs)
    cut = await model.complete(asking("Write a poem about rain.", max_tokens=5))
    assert (cut.finish, cut.usage.completion_tokens, cut.logprobs) == ("length", 5, None)
    assert model.evidence is Evidence.LOCAL and "openvino-genai" in model.identity


async def test_stop_texts_end_the_reply_and_are_left_out(model: LocalModel) -> None:
    request = asking("Repeat exactly: one two three four five six seven", max_tokens=60)
    whole = (await model.complete(request)).text
    assert "three four" in whole
    for stop in ("three", "ee fo", "our"):
        done = await model.complete(replace(request, stop=("never this", stop)))
        assert done.text == whole[: whole.index(stop)] and done.finish == "stop"
        assert done.usage.completion_tokens < model.count_tokens(whole)


async def test_a_reply_does_not_depend_on_the_batch(model: LocalModel) -> None:
    requests = [asking(prompt, max_tokens=16, logprobs=1) for prompt in PROMPTS[:5]]
    alone = [await model.complete(request) for request in requests]
    for batch in (await together(model, requests[:2]), await together(model, requests * 3)):
        for reply, single in zip(batch, alone * 3, strict=False):
            assert reply.text == single.text
            found, wanted = ([t.logprob for t in c.logprobs or ()] for c in (reply, single))
            assert found == pytest.approx(wanted, abs=2e-3)  # sums are rounded in another order in another batch


async def test_sampling_repeats_by_seed_whatever_else_is_in_the_batch(model: LocalModel) -> None:
    def sampled(seed: int) -> Request:
        return asking("Name a random animal and say why.", max_tokens=16, temperature=0.9, seed=seed)

    alone = {seed: (await model.complete(sampled(seed))).text for seed in (1, 2, 2**40 + 1)}
    assert len(set(alone.values())) == 3
    mixed = [sampled(2), sampled(2**40 + 1), asking(PROMPTS[3], max_tokens=16), sampled(1), sampled(7), sampled(1)]
    texts = [c.text for c in await together(model, mixed)]
    assert [texts[0], texts[1], texts[3], texts[5]] == [alone[2], alone[2**40 + 1], alone[1], alone[1]]


async def test_new_requests_join_while_others_run_and_cancelled_ones_leave(model: LocalModel) -> None:
    long = asyncio.create_task(model.complete(asking("Write a long story about the sea.", max_tokens=100)))
    doomed = asyncio.create_task(model.complete(asking("Write a long story about a mountain.", max_tokens=1500)))
    await asyncio.sleep(0.3)
    short = await model.complete(asking(PROMPTS[0], max_tokens=30))
    assert "Paris" in short.text and not long.done() and not doomed.done()
    doomed.cancel()
    with pytest.raises(asyncio.CancelledError):
        await doomed
    assert (await long).usage.completion_tokens > 40
    engine = model._engine()
    assert (await model.complete(asking(PROMPTS[0], max_tokens=30))).text == short.text
    assert not engine._queue


async def test_a_shared_beginning_changes_nothing(model: LocalModel) -> None:
    """Requests that share most of their prompt wait for the first to have read it; their replies are the same."""
    notes = " ".join(f"Box {i} holds {word}." for i, word in enumerate(("figs", "nuts", "rope", "salt", "wool") * 3))
    requests = [asking(f"{notes} What does box {i} hold?", max_tokens=12) for i in range(4)]
    batch = await together(model, requests)
    assert [(await model.complete(r)).text for r in requests] == [c.text for c in batch]


async def test_a_schema_constrains_the_reply(model: LocalModel) -> None:
    schema = {
        "type": "object",
        "properties": {"reason": {"enum": ["because", "whatever"]}, "choice": {"enum": ["left", "right"]}},
        "required": ["reason", "choice"],
        "additionalProperties": False,
    }
    done = await together(model, [asking(p, max_tokens=60, schema=schema) for p in PROMPTS[:3]])
    for reply in done:
        value = json.loads(reply.text)
        assert list(value) == ["reason", "choice"]  # in the order of the schema
        assert value["reason"] in ("because", "whatever") and value["choice"] in ("left", "right")


@pytest.mark.slow
async def test_a_schema_that_the_engine_refuses_hurts_no_other_request(model: LocalModel) -> None:
    bad = asking("Hello", schema={"type": "nonsense"})
    results = await asyncio.gather(
        model.complete(asking(PROMPTS[0], max_tokens=30)),
        model.complete(bad),
        model.complete(asking(PROMPTS[1], max_tokens=12)),
        return_exceptions=True,
    )
    assert isinstance(results[1], ModelError) and results[1].kind == "bad schema"
    assert "nonsense" in str(results[1]) and "/" not in str(results[1])
    assert isinstance(results[0], Completion) and "Paris" in results[0].text
    assert isinstance(results[2], Completion) and results[2].text
    with pytest.raises(ModelError, match="nonsense"):
        await model.complete(bad)


async def test_prompts_that_do_not_fit_name_both_numbers(model: LocalModel) -> None:
    with pytest.raises(ModelError, match=r"30\d\d tokens .* 2048") as caught:
        await model.complete(asking("word " * 3000))
    assert caught.value.kind == "too long"
    with pytest.raises(InputError, match="max_tokens"):
        await model.complete(asking("Hi", max_tokens=0))
    with pytest.raises(InputError, match="messages"):
        await model.complete(Request([]))


def test_one_engine_serves_several_event_loops_and_models(model: LocalModel) -> None:
    first = asyncio.run(model.complete(asking(PROMPTS[2], max_tokens=10)))
    second = asyncio.run(open_local("smollm2").complete(asking(PROMPTS[2], max_tokens=10)))
    assert first.text == second.text == "3 + 4 = 7"
    assert open_local("smollm2")._engine() is model._engine()
    assert open_local("smollm2#fast").identity != model.identity


# Against transformers in 32-bit arithmetic, from the same file.


@pytest.mark.slow
@needs_reference
async def test_greedy_replies_are_those_of_transformers(model: LocalModel) -> None:
    from shoal.models.local.reference import Reference

    reference = Reference(ModelFiles.of(model.card).weights)
    end = tuple(model._record["end"])
    prompts = [model._encode([{"role": "user", "content": prompt}]) for prompt in PROMPTS]
    wanted = [reference.write([ids], 24, end)[0] for ids in prompts]
    got = await together(model, [asking(prompt, max_tokens=24, logprobs=1) for prompt in PROMPTS])
    same = [c.text == model.tokenizer.decode(w) for c, w in zip(got, wanted, strict=True)]
    first = [
        c.logprobs[0].token == model.tokenizer.decode(w[:1]) for c, w in zip(got, wanted, strict=True) if c.logprobs
    ]
    assert all(first) and sum(same) >= len(same) - 1, same  # one near tie may fall the other way
    assert [c.usage.completion_tokens for c, s in zip(got, same, strict=True) if s] == [
        len(w) for w, s in zip(wanted, same, strict=True) if s
    ]
    for ids, tokens, reply in zip(prompts, wanted, got, strict=True):
        if reply.text == model.tokenizer.decode(tokens) and reply.logprobs:
            exact = reference.logprobs(ids + tokens)[len(ids) - 1 :][: len(reply.logprobs)]
            np.testing.assert_allclose([t.logprob for t in reply.logprobs], exact, atol=0.01)


@pytest.mark.slow
@needs_reference
async def test_option_scores_are_those_of_transformers(model: LocalModel) -> None:
    from shoal.models.local.reference import Reference

    reference = Reference(ModelFiles.of(model.card).weights)
    chat: list[ChatMessage] = [{"role": "user", "content": "What is the capital of France?"}]
    options = ("The capital of France is Paris.", "The capital of France is Rome.", "Rome")
    scores = await model.score(chat, options)
    prompt = model._encode(chat)
    for option, score in zip(options, scores.logprobs, strict=True):
        ids = [*prompt, *model.tokenizer.encode(option), model._record["end"][-1]]
        assert score == pytest.approx(reference.logprobs(ids)[len(prompt) - 1 :].sum(), abs=0.02)
    assert scores.logprobs[0] > scores.logprobs[1] > scores.logprobs[2]
    assert scores.usage.completion_tokens == len(options)
    assert (await model.score(chat, options)).logprobs == scores.logprobs
    with pytest.raises(InputError, match="options"):
        await model.score(chat, [])


@pytest.mark.slow
@needs_reference
@pytest.mark.filterwarnings("ignore")
def test_tokenizer_agrees_with_transformers_reading_of_the_file(model: LocalModel, monkeypatch: Any) -> None:
    """It reads "smollm" files as GPT-2 ones, without the digit rule: that shows only where blanks precede a numeral."""
    from transformers import AutoTokenizer

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = ModelFiles.of(model.card).weights
    other = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    for text in (*PROMPTS, *(t for t in TEXTS if not re.search(r"\s\s+\d|½", t))):
        assert model.tokenizer.encode(text) == other.encode(text, add_special_tokens=False), text
    assert model.tokenizer.encode("a  12") != other.encode("a  12", add_special_tokens=False)
