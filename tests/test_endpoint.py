"""The endpoint client against a server that does everything wrong, the price table, and the network lock."""

import asyncio
import json
import math
import pickle
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from shoal.errors import InputError, ModelError
from shoal.models import open_model, prices
from shoal.models.endpoint import Endpoint
from shoal.models.fake_server import ANSWER, FakeServer
from shoal.models.interface import Request
from shoal.models.lock import NetworkForbidden, forbid_network, is_loopback
from shoal.models.transport import LONGEST_WAIT, RequestError, Transport, _retry_after
from shoal.traces import Usage


def ask(text: str = "hello", **settings) -> Request:
    return Request(({"role": "user", "content": text},), **settings)


def endpoint(server: FakeServer, **settings) -> Endpoint:
    return Endpoint.from_url(f"{server.url}#fake", **{"backoff": 0.001, "timeout": 5.0, **settings})


# What is sent and read


async def test_a_reply_is_read_with_its_usage_and_routing_data_stays_here():
    async with FakeServer(keep_bodies=True) as server:
        model = endpoint(server, key="sk-secret-123")
        request = ask(seed=2**40 + 5, stop=("\n",), temperature=0.7, max_tokens=9, question="gsm8k-17", agent="bob")
        completion = await model.complete(request)
        await model.aclose()
    assert completion.text == ANSWER and completion.finish == "stop" and completion.failures == {}
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens, completion.usage.calls) == (20, 10, 1)
    assert 0 < completion.usage.seconds < 5
    assert server.bodies == [
        {
            "model": "fake",
            "messages": [{"role": "user", "content": "hello"}],
            "max_tokens": 9,
            "temperature": 0.7,
            "seed": (2**40 + 5) % 2**31,
            "stop": ["\n"],
        }
    ]
    assert b"authorization: bearer sk-secret-123" in server.headers[0].lower()
    assert "gsm8k" not in str(server.bodies) + str(server.headers) and "bob" not in str(server.bodies)


async def test_log_probabilities_come_where_asked_for():
    async with FakeServer("a b") as server:
        model = endpoint(server)
        plain, scored = await model.complete(ask()), await model.complete(ask(logprobs=2))
    assert plain.logprobs is None
    assert [(t.token, t.logprob, t.top) for t in scored.logprobs] == [
        ("a", -0.5, (("a", -0.5),)),
        ("b", -0.5, (("b", -0.5),)),
    ]


async def test_usage_is_estimated_where_the_server_gives_none(monkeypatch):
    monkeypatch.setattr(
        "shoal.models.fake_server._completion", lambda *_, **__: {"choices": [{"message": {"content": "abcde"}}]}
    )
    async with FakeServer() as server:
        completion = await endpoint(server).complete(ask("123456789"))
    assert (completion.usage.prompt_tokens, completion.usage.completion_tokens) == (3 + 4, 2)
    assert completion.finish == "stop"


async def test_all_calls_of_one_loop_share_connections_up_to_the_cap():
    async with FakeServer(delay=0.02) as server:
        model = endpoint(server, concurrency=4)
        await asyncio.gather(*(model.complete(ask(str(i))) for i in range(20)))
        stats = server.stats()
    assert stats["requests"] == stats["unique"] == 20
    assert stats["most_at_once"] == stats["connections"] == 4


def test_one_endpoint_serves_one_loop_after_another_without_being_closed():
    model = None

    async def once() -> str:
        nonlocal model
        async with FakeServer(port=port) as server:
            model = model or endpoint(server)
            return (await model.complete(ask())).text

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert [asyncio.run(once()) for _ in range(2)] == [ANSWER, ANSWER]
    assert len(model.transport._pools) == 1  # that of the dead loop was dropped, not kept


async def test_a_cancelled_call_gives_its_slot_back():
    async with FakeServer(script=["hang"]) as server:
        model = endpoint(server, concurrency=1)
        stuck = asyncio.create_task(model.complete(ask()))
        await asyncio.sleep(0.05)
        stuck.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stuck
        assert (await model.complete(ask())).text == ANSWER


# What is survived, and counted

PASSING = {
    "429": "429",
    "500": "500",
    "503": "503",
    "half json": "bad json",
    "empty choices": "empty choices",
    "null content": "null content",
    "wrong schema": "wrong schema",
    "html": "wrong content type",
    "huge": "too large",
    "hang": "timeout",
    "dribble": "timeout",
    "drop": "disconnected",
    "truncated": "disconnected",
}


@pytest.mark.parametrize(("misbehaviour", "kind"), PASSING.items())
async def test_a_passing_failure_is_survived_and_counted(misbehaviour, kind):
    async with FakeServer(script=[misbehaviour, misbehaviour]) as server:
        model = endpoint(server, timeout=0.3)
        completion = await model.complete(ask())
        await model.aclose()
    assert completion.text == ANSWER
    assert completion.failures == {kind: 2}
    assert server.requests == 3


@pytest.mark.parametrize(("misbehaviour", "kind"), PASSING.items())
async def test_a_lasting_failure_ends_with_its_kind(misbehaviour, kind):
    async with FakeServer(rates={misbehaviour: 1.0}) as server:
        model = endpoint(server, timeout=0.2, retries=1)
        with pytest.raises(ModelError, match="after 2 attempts") as caught:
            await model.complete(ask())
        await model.aclose()
    assert caught.value.kind == kind and caught.value.failures == {kind: 2}
    assert "\n" not in str(caught.value)
    assert server.requests == 2


async def test_a_huge_reply_is_not_read_to_its_end():
    async with FakeServer(rates={"huge": 1.0}) as server:
        model = endpoint(server, retries=0, read_limit=1000)
        with pytest.raises(ModelError, match="longer than 1000 bytes") as caught:
            await model.complete(ask())
        assert caught.value.kind == "too large"
        assert (await endpoint(server, retries=0, read_limit=20_000_000).complete(ask())).text == "x" * 10_000_000


async def test_a_huge_reply_of_unknown_length_is_cut_off_too():
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while sent < 10**9:
                writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
                sent += 0x10000
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()

    server = await asyncio.start_server(endless, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    model = Endpoint.from_url(f"http://127.0.0.1:{port}/v1#m", retries=0, timeout=20)
    with pytest.raises(ModelError) as caught:
        await model.complete(ask())
    await model.aclose()
    server.close()
    await server.wait_closed()
    assert caught.value.kind == "too large"
    assert sent < 10**8


async def test_a_mislabelled_but_sound_reply_is_taken_and_counted():
    async with FakeServer(rates={"mislabelled": 1.0}) as server:
        completion = await endpoint(server).complete(ask())
    assert completion.text == ANSWER and completion.failures == {"wrong content type": 1}


async def test_a_refused_connection_is_tried_again_and_then_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        model = Endpoint.from_url(f"http://127.0.0.1:{taken.getsockname()[1]}/v1#m", retries=2, backoff=0.001)
        with pytest.raises(RequestError, match=r"refused 3x") as caught:
            await model.complete(ask())
    assert caught.value.kind == "refused" and caught.value.failures == {"refused": 3}


@pytest.mark.parametrize(("code", "attempts"), [(socket.EAI_NONAME, 1), (socket.EAI_AGAIN, 3)])
async def test_an_unknown_host_ends_at_once_but_a_silent_name_server_does_not(monkeypatch, code, attempts):
    def lookup(*_arguments, **_options):
        raise socket.gaierror(code, "no")

    model = Endpoint.from_url("http://nowhere.invalid/v1#m", retries=2, backoff=0.001)
    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with pytest.raises(RequestError) as caught:
        await model.complete(ask())
    assert caught.value.failures == {"unknown host": attempts}


async def test_a_connection_that_does_not_come_about_is_given_up_early(monkeypatch):
    async def never(*_arguments):
        await asyncio.sleep(60)

    monkeypatch.setattr("shoal.models.transport.LONGEST_CONNECT", 0.05)
    monkeypatch.setattr(type(asyncio.get_running_loop()), "sock_connect", never)
    model = Endpoint.from_url("http://127.0.0.1:9/v1#m", retries=1, backoff=0.001)
    with pytest.raises(RequestError, match=r"no connection within 0\.05 s") as caught:
        await model.complete(ask())
    assert caught.value.failures == {"timeout": 2}
    await model.aclose()


async def test_a_storm_of_mixed_failures_loses_nothing():
    rates = {"429": 0.2, "500": 0.1, "half json": 0.1, "drop": 0.1, "null content": 0.1}
    async with FakeServer(lambda body: body["messages"][0]["content"][::-1], rates=rates, seed=1) as server:
        model = endpoint(server, retries=30)
        texts = [f"question {i}" for i in range(60)]
        completions = await asyncio.gather(*(model.complete(ask(text)) for text in texts))
        await model.aclose()
    assert [c.text for c in completions] == [text[::-1] for text in texts]
    counted = sum((Counter(c.failures) for c in completions), Counter())
    happened = {"bad json": server.counts["half json"], "disconnected": server.counts["drop"]}
    happened |= {kind: server.counts[kind] for kind in ("429", "500", "null content")}
    assert counted == happened and min(happened.values()) > 0
    assert server.requests == 60 + counted.total()


async def test_retry_after_is_honoured_and_holds_back_everybody():
    async with FakeServer(script=["429 wait"]) as server:
        model = endpoint(server, concurrency=1)
        begun = time.monotonic()
        first, second = await asyncio.gather(model.complete(ask("a")), model.complete(ask("b")))
        await model.aclose()
        assert time.monotonic() - begun > 0.99
    assert (first.failures, second.failures) == ({"429": 1}, {})
    assert server.requests == 3


def test_retry_after_is_read_as_seconds_or_date_and_capped():
    assert _retry_after("2.5") == 2.5
    assert _retry_after("100000") == LONGEST_WAIT
    assert _retry_after("-3") == 0
    assert _retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert _retry_after("Wed, 21 Oct 2999 07:28:00 GMT") == LONGEST_WAIT
    assert [_retry_after(text) for text in (None, "", "soon", "nan")] == [None] * 4


def test_backoff_doubles_has_jitter_and_is_repeatable():
    waits = [[Transport("http://h/v1", seed=seed)._pause(n, None) for n in range(1, 12)] for seed in (3, 3, 4)]
    assert waits[0] == waits[1] != waits[2]
    for n, wait in enumerate(waits[0]):
        full = 0.5 * 2**n
        assert min(LONGEST_WAIT, full / 2) <= wait <= min(LONGEST_WAIT, full)
    assert Transport("http://h/v1")._pause(1, 7.0) == 7.0


# What the user must mend


@pytest.mark.parametrize(
    ("status", "said"),
    [("400", "Mend the field messages"), ("401", "Set SHOAL_API_KEY"), ("404", "the model's name after #")],
)
async def test_what_the_user_must_mend_is_not_tried_again(status, said):
    async with FakeServer(rates={status: 1.0}) as server:
        with pytest.raises(ModelError) as caught:
            await endpoint(server).complete(ask())
    assert caught.value.kind == status and said in str(caught.value) and "\n" not in str(caught.value)
    assert server.requests == 1


async def test_a_refused_schema_is_given_up_once_and_remembered():
    schema = {"title": "Vote form", "type": "object", "properties": {"choice": {"type": "string"}}}
    async with FakeServer(rates={"400 schema": 1.0}, keep_bodies=True) as server:
        model = endpoint(server)
        first, second = await model.complete(ask(schema=schema)), await model.complete(ask("more", schema=schema))
    form = {"type": "json_schema", "json_schema": {"name": "Vote_form", "schema": schema}}
    assert [body.get("response_format") for body in server.bodies] == [form, None, None]
    assert first.failures == {"unsupported response_format": 1} and second.failures == {}


@pytest.mark.parametrize(
    ("message", "param", "kept", "lost"),
    [
        (
            "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
            "max_tokens",
            {"max_completion_tokens": 256, "temperature": 0.0},
            "max_tokens",
        ),
        ("Unsupported value: 'temperature' does not support 0.", "temperature", {"max_tokens": 256}, "temperature"),
    ],
)
async def test_a_field_that_a_model_does_not_know_is_replaced_or_dropped(monkeypatch, message, param, kept, lost):
    from shoal.models import fake_server

    refusal = fake_server._reply({"error": {"message": message, "param": param}}, "400 Bad Request")
    monkeypatch.setattr(fake_server, "_misbehaviour", lambda _: refusal)
    async with FakeServer(script=["400"], keep_bodies=True) as server:
        completion = await endpoint(server).complete(ask())
    assert completion.failures == {f"unsupported {lost}": 1}
    assert lost in server.bodies[0] and lost not in server.bodies[1]
    assert kept.items() <= server.bodies[1].items()


async def test_the_key_is_in_no_identity_error_or_spec():
    key = "sk-very-secret"
    async with FakeServer(rates={"401": 1.0}) as server:
        model = endpoint(server, key=key)
        with pytest.raises(ModelError) as caught:
            await model.complete(ask())
    assert key not in f"{model.identity} {model.spec} {model!r} {caught.value} {caught.value!r} {model.transport!r}"
    bad = model.transport._error(_bad(f"Incorrect API key {key}"), Counter({"401": 1}))
    assert key not in str(bad) and "***" in str(bad)


def _bad(said: str):
    from shoal.models.transport import BadReply

    return BadReply("401", said, final=True, status=401)


def test_a_request_error_survives_pickling():
    error = pickle.loads(pickle.dumps(RequestError("429", "slow", 429, "", {"429": 6})))
    assert (error.kind, str(error), error.status, error.failures) == ("429", "slow", 429, {"429": 6})


@pytest.mark.parametrize(
    "url",
    [
        "http://host/v1",  # no model
        "http:///v1#m",
        "http://host:port/v1#m",
        "http://user:hunter2@host/v1#m",
        "http://host/v1?key=hunter2#m",
    ],
)
def test_an_unusable_url_is_an_input_error_without_its_secret(url):
    with pytest.raises(InputError) as caught:
        open_model(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"concurrency": 0}, {"timeout": 0}, {"retries": -1}, {"backoff": -1.0}])
def test_settings_are_range_checked(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        Endpoint.from_url("http://localhost/v1#m", **settings)


def test_the_vendor_needs_a_key_and_takes_another_base(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(InputError, match="OPENAI_API_KEY"):
        open_model("openai:gpt-4o")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    assert open_model("openai:gpt-4o").identity == "endpoint:https://api.openai.com/v1#gpt-4o"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1/")
    model = open_model("openai:gpt-4o")
    assert model.identity == "endpoint:http://localhost:8000/v1#gpt-4o" and model.spec == "openai:gpt-4o"


# Prices


def test_the_longest_fitting_beginning_gives_the_price():
    table = prices.PriceTable("2026-01", {"gpt-4o": prices.Price(2.5, 10), "gpt-4o-mini": prices.Price(0.15, 0.6)})
    assert table.find("gpt-4o-mini-2024-07-18") == (0.15, 0.6)
    assert table.find("gpt-4o-2024-08-06") == table.find("gpt-4o") == (2.5, 10)
    assert not table.known("gpt-4o2") and not table.known("llama") and table.cost("llama", Usage(10, 10)) == 0
    assert math.isclose(table.cost("gpt-4o", Usage(2_000_000, 500_000)), 2 * 2.5 + 0.5 * 10)


def test_the_users_prices_win_over_the_shipped_ones(monkeypatch, tmp_path: Path):
    monkeypatch.delenv("SHOAL_PRICES", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    shipped = prices.price_table()
    assert shipped.date and shipped.known("gpt-4o-mini") and not shipped.known("my-model")
    own = tmp_path / "prices.yaml"
    own.write_text("date: 2031-05\nmodels: {my-model: [1, 2], gpt-4o-mini: [7, 8]}")
    monkeypatch.setenv("SHOAL_PRICES", str(own))
    table = prices.price_table()
    assert table.find("my-model") == (1, 2) and table.find("gpt-4o-mini") == (7, 8)
    assert table.find("gpt-4o") == shipped.find("gpt-4o") and table.date == "2031-05"
    model = Endpoint.from_url("http://localhost:1/v1#my-model")
    assert model.price(Usage(1_000_000, 1_000_000)) == 3.0
    assert Endpoint.from_url("http://localhost:1/v1#other").price(Usage(1_000_000, 1)) == 0.0


@pytest.mark.parametrize("text", ["[1, 2]", "models: {m: [1]}", "models: {m: [1, -2]}", "models: {m: [a, b]}", "{"])
def test_a_price_table_that_cannot_be_read_is_an_input_error(monkeypatch, tmp_path: Path, text):
    own = tmp_path / "prices.yaml"
    own.write_text(text)
    monkeypatch.setenv("SHOAL_PRICES", str(own))
    with pytest.raises(InputError, match=r"prices\.yaml"):
        prices.price_table()


# The network lock


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST.", "127.0.0.1", "127.9.9.9", "::1", "[::1]", "::ffff:127.0.0.1"]
)
def test_this_machine_is_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["example.com", "127.0.0.1.example.com", "10.0.0.1", "0.0.0.0", "::2", "::ffff:8.8.8.8", ""]
)
def test_other_machines_are_not(host):
    assert not is_loopback(host)


def test_the_lock_forbids_far_sockets_and_lets_near_ones_through(tmp_path: Path):
    untouched = (socket.socket.connect, socket.getaddrinfo)
    with forbid_network(), forbid_network():
        with socket.socket() as far, pytest.raises(NetworkForbidden, match=r"192\.0\.2\.1, port 80"):
            far.connect(("192.0.2.1", 80))
        with socket.socket() as far, pytest.raises(NetworkForbidden):
            far.connect_ex(("192.0.2.1", 80))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far, pytest.raises(NetworkForbidden):
            far.sendto(b"x", ("192.0.2.1", 53))
        with pytest.raises(NetworkForbidden, match=r"example\.com"):
            socket.create_connection(("example.com", 443))
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname()).close()
        with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
            server.bind(str(tmp_path / "s"))
            server.listen()
            client.connect(str(tmp_path / "s"))
    assert (socket.socket.connect, socket.getaddrinfo) == untouched


@pytest.mark.parametrize("url", ["http://192.0.2.1:8000/v1#m", "https://api.example.com/v1#m"])
async def test_the_lock_holds_in_asyncio_and_for_endpoints(url):
    model = Endpoint.from_url(url, retries=0)
    with forbid_network(), pytest.raises(NetworkForbidden):
        await model.complete(ask())
    with forbid_network(), pytest.raises(NetworkForbidden):
        await asyncio.open_connection("192.0.2.1", 80)
    await model.aclose()


async def test_offline_refuses_other_machines_only(monkeypatch):
    monkeypatch.setenv("SHOAL_OFFLINE", "1")
    with pytest.raises(NetworkForbidden, match="SHOAL_OFFLINE"):
        await Endpoint.from_url("https://api.example.com/v1#m").complete(ask())
    async with FakeServer() as server:
        assert (await endpoint(server).complete(ask())).text == ANSWER


def test_the_fake_server_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="unknown misbehaviour"):
        FakeServer(script=["explode"])
    with pytest.raises(ValueError, match="more than 1"):
        FakeServer(rates={"429": 0.7, "500": 0.7})


async def test_the_key_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("SHOAL_API_KEY", "sk-from-there\n")
    async with FakeServer(keep_bodies=True) as server:
        await open_model(f"{server.url}#fake").complete(ask())
    assert b"\r\nAuthorization: Bearer sk-from-there\r\n" in server.headers[0]


def test_the_fake_server_runs_by_itself():
    command = [sys.executable, "-m", "shoal.models.fake_server"]
    wrong = subprocess.run([*command, "--rate", "explode=1"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and "unknown misbehaviour 'explode'" in wrong.stderr
    process = subprocess.Popen([*command, "--answer", "hi", "--rate", "500=0.5"], stdout=subprocess.PIPE, text=True)
    try:
        url = process.stdout.readline().strip()
        model = Endpoint.from_url(f"{url}#fake", backoff=0.001, retries=40)
        completions = [asyncio.run(model.complete(ask(str(i)))) for i in range(8)]
        with urllib.request.urlopen(url.replace("/v1", "/stats")) as reply:
            stats = json.load(reply)
    finally:
        process.terminate()
        process.communicate()
    assert [c.text for c in completions] == ["hi"] * 8
    assert stats["unique"] == 8 and stats["requests"] == 8 + stats["500"]
    assert stats["500"] == sum(c.failures.get("500", 0) for c in completions) > 0
