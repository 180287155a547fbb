"""The call cache: one call for equal requests, nothing lost by a kill, nothing paid for twice."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from shoal.errors import ModelError, StorageError
from shoal.models import CachedModel, CallCache, Completion, Model, Request, TokenLogprob
from shoal.models.endpoint import Endpoint
from shoal.models.fake_server import FakeServer
from shoal.stats import Evidence
from shoal.traces import Usage


class Counting(Model):
    """Answers after a while, and counts."""

    spec = identity = "counting"
    evidence = Evidence.SCRIPTED

    def __init__(self, fail: int = 0) -> None:
        self.calls = 0
        self.fail = fail
        self.gate = asyncio.Event()
        self.gate.set()

    async def complete(self, request: Request) -> Completion:
        self.calls += 1
        mine = self.calls
        await self.gate.wait()
        if mine <= self.fail:
            raise ModelError("timeout", "too slow")
        usage = Usage(prompt_tokens=5, completion_tokens=2, calls=1, seconds=0.25, money=0.5)
        token = TokenLogprob("a", -0.1, (("a", -0.1), ("b", -2.5)))
        return Completion(f"reply {mine}", usage, "length", (token,), {"429": 2})


def ask(text: str = "hello", **settings) -> Request:
    return Request(({"role": "user", "content": text},), **settings)


async def turn() -> None:
    """Let the other tasks run until they wait."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_stored_reply_is_the_same_but_costs_nothing(tmp_path: Path):
    model = CachedModel(Counting(), CallCache(tmp_path / "calls.sqlite"))
    first, second = await model.complete(ask()), await model.complete(ask())
    assert model.model.calls == 1
    assert (second.text, second.finish, second.logprobs) == (first.text, first.finish, first.logprobs)
    assert first.usage.money == 0.5 and first.usage.cached == 0 and first.failures == {"429": 2}
    assert second.usage == Usage(5, 2, 1, 0.25, 0.0, 1) and second.failures == {}
    model.cache.close()
    reopened = CallCache(tmp_path / "calls.sqlite")
    assert reopened.get(ask().key("counting")) == second and len(reopened) == 1
    reopened.close()


async def test_every_part_of_a_request_and_the_model_tell_calls_apart():
    requests = [
        ask(),
        ask("other"),
        ask(max_tokens=1),
        ask(temperature=1.0),
        ask(stop=("x",)),
        ask(seed=1),
        ask(schema={"type": "object"}),
        ask(logprobs=1),
        ask(question="q"),
        ask(agent="a"),
    ]
    keys = {request.key(identity) for request in requests for identity in ("one", "two")}
    assert len(keys) == 2 * len(requests)
    assert ask(seed=1).key("one") == ask(seed=1).key("one")


async def test_equal_requests_in_flight_share_one_call():
    model = CachedModel(Counting(), CallCache(None))
    model.model.gate.clear()
    calls = [asyncio.create_task(model.complete(ask())) for _ in range(5)]
    other = asyncio.create_task(model.complete(ask("other")))
    await turn()
    model.model.gate.set()
    completions = await asyncio.gather(*calls)
    await other
    assert model.model.calls == 2
    assert {c.text for c in completions} == {"reply 1"}
    assert sum(c.usage.money for c in completions) == 0.5
    assert [c.usage.cached for c in completions] == [0, 1, 1, 1, 1]
    model.cache.close()


async def test_a_failure_reaches_all_who_wait_and_is_not_kept():
    model = CachedModel(Counting(fail=1), CallCache(None))
    model.model.gate.clear()
    calls = [asyncio.create_task(model.complete(ask())) for _ in range(3)]
    await turn()
    model.model.gate.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [getattr(r, "kind", None) for r in results] == ["timeout"] * 3 and model.model.calls == 1
    assert len(model.cache) == 0
    assert (await model.complete(ask())).text == "reply 2"
    model.cache.close()


async def test_a_cancelled_first_caller_does_not_break_the_second():
    model = CachedModel(Counting(), CallCache(None))
    model.model.gate.clear()
    calls = [asyncio.create_task(model.complete(ask())) for _ in range(3)]
    await turn()
    calls[0].cancel()
    await turn()
    model.model.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await calls[0]
    second, third = await calls[1], await calls[2]
    assert second.text == third.text == "reply 2" and model.model.calls == 2
    assert second.usage.money + third.usage.money == 0.5
    model.cache.close()


async def test_a_cancelled_waiter_leaves_the_first_caller_alone():
    model = CachedModel(Counting(), CallCache(None))
    model.model.gate.clear()
    first = asyncio.create_task(model.complete(ask()))
    await turn()
    waiter = asyncio.create_task(model.complete(ask()))
    await turn()
    waiter.cancel()
    await turn()
    assert waiter.cancelled()
    model.model.gate.set()
    assert (await first).text == "reply 1" and model.model.calls == 1
    model.cache.close()


def test_a_file_that_cannot_be_opened_is_a_storage_error(tmp_path: Path):
    (tmp_path / "file").write_text("x" * 5000)
    with pytest.raises(StorageError, match="cannot open"):
        CallCache(tmp_path / "file")
    with pytest.raises(StorageError, match="cannot open"):
        CallCache(tmp_path / "file" / "calls.sqlite")


CALLER = textwrap.dedent("""
    import asyncio, sys
    from pathlib import Path
    from shoal.models import CachedModel, CallCache, Request
    from shoal.models.endpoint import Endpoint

    url, path, first, last = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])

    async def main():
        model = CachedModel(Endpoint.from_url(url), CallCache(path))
        for i in range(first, last):
            request = Request(({"role": "user", "content": f"question {i}"},))
            completion = await model.complete(request)
            print(i, completion.usage.cached, completion.text, flush=True)
        await model.aclose()

    asyncio.run(main())
""")


def run_caller(url: str, path: Path, first: int, last: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", CALLER, url, str(path), str(first), str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def answer(body: dict) -> str:
    return f"answer to {body['messages'][0]['content']}"


async def test_two_processes_share_one_file(tmp_path: Path):
    async with FakeServer(answer, delay=0.002) as server:
        callers = [run_caller(f"{server.url}#fake", tmp_path / "calls.sqlite", 20 * i, 20 * i + 60) for i in range(2)]
        outputs = [(await asyncio.to_thread(caller.communicate))[0].splitlines() for caller in callers]
        assert [caller.returncode for caller in callers] == [0, 0]
        late = run_caller(f"{server.url}#fake", tmp_path / "calls.sqlite", 0, 80)
        lines = (await asyncio.to_thread(late.communicate))[0].splitlines()
        stats = server.stats()
    assert [line.split(" ", 2)[::2] for line in lines] == [[str(i), f"answer to question {i}"] for i in range(80)]
    assert all(line.split()[1] == "1" for line in lines)
    assert stats["unique"] == 80
    # Two processes may ask the same at the same time: each is then paid by whoever asked. What one of them had been
    # answered before the other asked was never asked again.
    paid = sum(line.split()[1] == "0" for output in outputs for line in output)
    assert stats["requests"] == paid


async def test_a_killed_process_never_pays_again_for_what_it_was_answered(tmp_path: Path):
    """SIGKILL in the middle: answered requests are asked once in all; the one in flight may be asked a second time."""
    total, before = 60, 20
    path = tmp_path / "calls.sqlite"
    async with FakeServer(answer, delay=0.005, keep_bodies=True) as server:
        caller = run_caller(f"{server.url}#fake", path, 0, total)
        answered = [int((await asyncio.to_thread(caller.stdout.readline)).split()[0]) for _ in range(before)]
        os.kill(caller.pid, signal.SIGKILL)
        rest, _ = await asyncio.to_thread(caller.communicate)
        answered += [int(line.split()[0]) for line in rest.splitlines() if line.count(" ") > 2]
        assert caller.returncode == -signal.SIGKILL and before <= len(answered) < total
        again = run_caller(f"{server.url}#fake", path, 0, total)
        lines = (await asyncio.to_thread(again.communicate))[0].splitlines()
        asked = [body["messages"][0]["content"] for body in server.bodies]
    assert again.returncode == 0 and len(lines) == total
    assert [line.split(" ", 2)[2] for line in lines] == [f"answer to question {i}" for i in range(total)]
    assert all(asked.count(f"question {i}") == 1 for i in answered)
    repeated = {text for text in asked if asked.count(text) > 1}
    assert len(asked) <= total + 1 and repeated <= {f"question {len(answered)}"}
    assert all(line.split()[1] == "1" for line in lines[: len(answered)])


async def test_a_cached_endpoint_is_priced_once(tmp_path: Path, monkeypatch):
    table = tmp_path / "prices.yaml"
    table.write_text("models: {fake: [1, 1]}")
    monkeypatch.setenv("SHOAL_PRICES", str(table))
    async with FakeServer() as server:
        model = CachedModel(Endpoint.from_url(f"{server.url}#fake"), CallCache(tmp_path / "calls.sqlite"))
        begun = time.perf_counter()
        first, second = await model.complete(ask()), await model.complete(ask())
        spent = time.perf_counter() - begun
        await model.aclose()
    model.cache.close()
    assert model.price(first.usage) == pytest.approx(30e-6)
    assert (second.usage.money, second.usage.cached, server.requests) == (0.0, 1, 1)
    assert 0 < first.usage.seconds <= spent and second.usage.seconds == first.usage.seconds
