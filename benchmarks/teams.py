"""Overhead of the team runtime, beside what others use for the same work, in one process and one run.

A team is three agents in sequence, each of which sees the task and the answer before it; a fake endpoint in a second
process answers with a fixed text, at once or after 200 ms, so that what is measured is the framework and the round
trip. Everything that shoal has is on: the trace goes to a file, the budget is enforced for each call and the call cache
is an SQLite file (each call is distinct, so that each reaches the server, which counts them). The order of the
candidates alternates between repetitions; figures are medians.

    python benchmarks/teams.py            # writes benchmarks/results/teams.json

Missing peers are reported as rows without a figure: pip install 'shoal[peers]' brings them.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "teams.json"
INSTALL = "pip install 'shoal[peers]'"
TASK = "Write a haiku about rivers."
ROLES = ("planner", "worker", "critic")
TURNS = len(ROLES)

Team = Callable[[int], Awaitable[object]]
Close = Callable[[], Awaitable[object]]
Seconds = dict[str, tuple[list[float], list[float]]]
"""Wall and processor seconds by candidate, one of each per repetition."""


def persona(role: str) -> str:
    return f"You are the {role}. Do your part in one sentence."


@dataclass
class Candidate:
    """One way to run a team.

    Attributes:
        name: as shown.
        packages: what must be installed; the first one's version is shown, or all of them.
        prepare: from the endpoint's URL and a scratch folder to the team (called with a number) and what closes it.
        imports: the statement that a minimal program starts with.
    """

    name: str
    packages: tuple[str, ...]
    prepare: Callable[[str, Path], tuple[Team, Close]]
    imports: str
    modules: tuple[str, ...] = ()

    @property
    def missing(self) -> bool:
        return any(importlib.util.find_spec(module) is None for module in self.modules)

    @property
    def version(self) -> str:
        return " + ".join(metadata.version(package) for package in self.packages) if not self.missing else ""


def shoal_team(url: str, folder: Path) -> tuple[Team, Close]:
    from shoal.models import CachedModel, CallCache
    from shoal.models.endpoint import Endpoint
    from shoal.runs.budget import Budget, Limits
    from shoal.tasks.problem import Question
    from shoal.teams.agent import Agent
    from shoal.teams.session import Session
    from shoal.traces import TraceWriter

    cache = CallCache(folder / "calls.sqlite")
    model = CachedModel(Endpoint.from_url(f"{url}#gpt-4o-mini", concurrency=256), cache)
    budget = Budget(Limits(tokens=10**9, calls=10**6, money=1e6), per_agent=Limits(tokens=10**9))
    trace = TraceWriter(folder / "events.jsonl", "benchmark")
    agents = [Agent(role, persona(role)) for role in ROLES]

    async def team(number: int) -> None:
        question = Question(f"haiku-{number}", TASK)
        session = Session(model, question, trace=trace, budget=budget, seed=number)
        said, parents = question.text, ()
        for agent in agents:
            reply = await session.ask(agent, said, parents=parents)
            if reply.failed:
                raise RuntimeError(f"a call failed: {reply.failed}")
            said, parents = reply.text, (reply.event,)

    async def close() -> None:
        await model.aclose()
        trace.close()
        cache.close()

    return team, close


def aiohttp_team(url: str, folder: Path) -> tuple[Team, Close]:
    """No framework at all: what is left is the network."""
    import aiohttp

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers={"Authorization": "Bearer x"})

    async def team(number: int) -> None:
        said = TASK
        for role in ROLES:
            messages = [{"role": "system", "content": persona(role)}, {"role": "user", "content": said}]
            body = {"model": "gpt-4o-mini", "messages": messages}
            async with session.post(f"{url}/chat/completions", json=body) as response:
                said = (await response.json())["choices"][0]["message"]["content"]

    return team, session.close


def openai_team(url: str, folder: Path) -> tuple[Team, Close]:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key="x")

    async def team(number: int) -> None:
        said = TASK
        for role in ROLES:
            completion = await client.chat.completions.create(
                model="gpt-4o-mini",
                messages=[{"role": "system", "content": persona(role)}, {"role": "user", "content": said}],
            )
            said = completion.choices[0].message.content or ""

    return team, client.close


def langgraph_team(url: str, folder: Path) -> tuple[Team, Close]:
    from langchain_core.messages import HumanMessage, SystemMessage
    from langchain_openai import ChatOpenAI
    from langgraph.graph import END, START, MessagesState, StateGraph

    model = ChatOpenAI(model="gpt-4o-mini", base_url=url, api_key="x")  # type: ignore[arg-type]

    def node(role: str) -> Callable[[Any], Awaitable[dict[str, Any]]]:
        async def answer(state: Any) -> dict[str, Any]:
            return {"messages": [await model.ainvoke([SystemMessage(persona(role)), *state["messages"]])]}

        return answer

    graph = StateGraph(MessagesState)
    before = START
    for role in ROLES:
        graph.add_node(role, node(role))
        graph.add_edge(before, role)
        before = role
    graph.add_edge(before, END)
    app = graph.compile()

    async def team(number: int) -> None:
        await app.ainvoke({"messages": [HumanMessage(TASK)]})

    return team, leave_open


async def leave_open() -> None:
    """LangChain shares one HTTP client between all models of a process: closing it would break the next one."""


def autogen_team(url: str, folder: Path) -> tuple[Team, Close]:
    from autogen_agentchat.agents import AssistantAgent
    from autogen_agentchat.conditions import MaxMessageTermination
    from autogen_agentchat.teams import RoundRobinGroupChat
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    client = OpenAIChatCompletionClient(model="gpt-4o-mini", base_url=url, api_key="x")

    async def team(number: int) -> None:
        # Agents and teams hold the state of one conversation there, so each team needs its own.
        agents = [AssistantAgent(role, client, system_message=persona(role)) for role in ROLES]
        await RoundRobinGroupChat(agents, termination_condition=MaxMessageTermination(TURNS + 1)).run(task=TASK)

    return team, client.close


def candidates() -> list[Candidate]:
    """First shoal, then the peers."""
    shoal_imports = (
        "from shoal.teams.session import Session; from shoal.models.endpoint import Endpoint; import aiohttp"
    )
    langgraph_imports = "from langgraph.graph import StateGraph; from langchain_openai import ChatOpenAI"
    autogen_imports = (
        "from autogen_agentchat.agents import AssistantAgent; from autogen_agentchat.teams import RoundRobinGroupChat;"
        " from autogen_ext.models.openai import OpenAIChatCompletionClient"
    )
    return [
        Candidate("shoal", ("shoal",), shoal_team, shoal_imports),
        Candidate("aiohttp, no framework", ("aiohttp",), aiohttp_team, "import aiohttp", ("aiohttp",)),
        Candidate("openai SDK", ("openai",), openai_team, "from openai import AsyncOpenAI", ("openai",)),
        Candidate(
            "LangGraph + langchain-openai",
            ("langgraph", "langchain-openai"),
            langgraph_team,
            langgraph_imports,
            ("langgraph", "langchain_openai"),
        ),
        Candidate(
            "AutoGen AgentChat",
            ("autogen-agentchat",),
            autogen_team,
            autogen_imports,
            ("autogen_agentchat", "autogen_ext", "openai"),
        ),
    ]


class Server:
    """The fake endpoint in a process of its own."""

    def __init__(self, delay: float) -> None:
        command = [sys.executable, "-m", "shoal.models.fake_server", "--port", "0", "--delay", str(delay)]
        command += ["--model", "gpt-4o-mini-2024-07-18"]  # what the vendor answers to gpt-4o-mini; AutoGen looks
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def stats(self) -> dict[str, int]:
        with urllib.request.urlopen(self.url.replace("/v1", "/stats")) as reply:
            return json.load(reply)  # type: ignore[no-any-return]

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.terminate()
        self.process.communicate()


async def measure(
    candidate: Candidate, server: Server, folder: Path, teams: int, together: bool
) -> tuple[float, float]:
    """Wall and processor seconds for that many teams, one after another or all together.

    Raises:
        RuntimeError: the server did not get exactly three requests for each team.
    """
    team, close = candidate.prepare(server.url, folder)
    for number in range(3):
        await team(10**6 + number)
    gc.collect()
    before = server.stats()
    wall, processor = time.perf_counter(), time.process_time()
    if together:
        await asyncio.gather(*(team(number) for number in range(teams)))
    else:
        for number in range(teams):
            await team(number)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    after = server.stats()
    await close()
    asked = after["requests"] - before["requests"]
    if asked != teams * TURNS:
        raise RuntimeError(f"{candidate.name} sent {asked} requests for {teams} teams of {TURNS}")
    return wall, processor


async def compare(entries: list[Candidate], server: Server, repetitions: int, teams: int, together: bool) -> Seconds:
    """Measure all candidates in an order that alternates."""
    seconds: Seconds = {entry.name: ([], []) for entry in entries}
    for repetition in range(repetitions):
        for entry in entries if repetition % 2 == 0 else entries[::-1]:
            with tempfile.TemporaryDirectory() as folder:
                wall, processor = await measure(entry, server, Path(folder), teams, together)
            seconds[entry.name][0].append(wall)
            seconds[entry.name][1].append(processor)
    return seconds


def import_seconds(statement: str, repetitions: int) -> list[float]:
    """Seconds that a fresh interpreter needs for the statement, bytecode cached by one run before."""
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)]
    runs += [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(repetitions)
    ]
    return [float(run.stdout) for run in runs[1:]]


def row(peer: Candidate, setting: str, unit: str, ours: list[float], theirs: list[float] | None) -> dict[str, Any]:
    """One line of the result; ``ratio`` is how many times less shoal needs."""
    ours_median = statistics.median(ours)
    line: dict[str, Any] = {"peer": peer.name, "version": peer.version, "setting": setting}
    line |= {"ours": round(ours_median, 4), "theirs": None, "unit": unit, "ratio": None}
    line["ours_range"] = [round(min(ours), 4), round(max(ours), 4)]
    if theirs is None:
        return line | {"note": f"not installed: {INSTALL}"}
    theirs_median = statistics.median(theirs)
    line |= {"theirs": round(theirs_median, 4), "ratio": round(theirs_median / ours_median, 2)}
    return line | {"theirs_range": [round(min(theirs), 4), round(max(theirs), 4)]}


def run(repetitions: int = 5, teams: int = 100, together: int = 200, delay: float = 0.2) -> dict[str, Any]:
    """Measure and return ``{name, machine, rows}``; a ratio above 1 means that shoal needs less.

    Args:
        repetitions: of each measurement, at least 3.
        teams: teams one after another at an instant endpoint.
        together: teams at the same time at an endpoint that takes ``delay`` seconds.
        delay: of that endpoint, in seconds.
    """
    from shoal.runs.machine import machine_facts

    quiet_environment()
    everyone = candidates()
    ours, peers = everyone[0], everyone[1:]
    present = [entry for entry in everyone if not entry.missing]

    async def both() -> tuple[Seconds, Seconds]:
        with Server(0.0) as server:
            sequential = await compare(present, server, repetitions, teams, together=False)
        with Server(delay) as server:
            return sequential, await compare(present, server, repetitions, together, together=True)

    sequential, parallel = asyncio.run(both())
    turns = teams * TURNS
    one_by_one = f"{teams} teams x {TURNS} turns one after another, instant endpoint"
    at_once = f"{together} teams x {TURNS} turns at once, {delay * 1000:g} ms endpoint (ideal {delay * TURNS:g} s)"
    imports = {entry.name: import_seconds(entry.imports, 5) for entry in present}
    bare = import_seconds("import shoal", 5)
    rows = []
    for which, name in ((0, "wall"), (1, "processor")):
        for peer in peers:
            mine = [s / turns * 1e3 for s in sequential[ours.name][which]]
            theirs = [s / turns * 1e3 for s in sequential[peer.name][which]] if not peer.missing else None
            rows.append(row(peer, f"{one_by_one}: {name} time", "ms/turn", mine, theirs))
    for which, name in ((0, "wall"), (1, "processor")):
        for peer in peers:
            theirs = parallel[peer.name][which] if not peer.missing else None
            rows.append(row(peer, f"{at_once}: {name} time", "s", parallel[ours.name][which], theirs))
    for peer in peers:
        theirs = imports.get(peer.name)
        rows.append(row(peer, "import of the package itself, for shoal: import shoal", "s", bare, theirs))
        rows.append(row(peer, "import of all that a first team needs", "s", imports[ours.name], theirs))
    return {"name": "teams", "machine": machine_facts(), "rows": rows}


def quiet_environment() -> None:
    """Nobody phones home and nobody goes through a proxy while being measured."""
    for name in list(os.environ):
        if name.lower() in ("http_proxy", "https_proxy", "all_proxy"):
            del os.environ[name]
    os.environ.update(LANGSMITH_TRACING="false", OTEL_SDK_DISABLED="true", NO_PROXY="127.0.0.1")


def show(result: dict[str, Any]) -> None:
    for line in result["rows"]:
        theirs = "not installed" if line["theirs"] is None else f"{line['theirs']:.3f}"
        ratio = "" if line["ratio"] is None else f"{line['ratio']:.1f} x"
        print(f"{line['setting']:88} {line['peer']:30} {line['ours']:8.3f} {theirs:>13} {line['unit']:8} {ratio:>8}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    result = run(max(3, options.repetitions))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    show(result)


if __name__ == "__main__":
    main()
