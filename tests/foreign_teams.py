"""The same three-agent team in other people's frameworks, against an endpoint; what each would write to its log.

Used by the tests of the importers (with the real packages) and to record the samples in ``data/traces``.
"""

from __future__ import annotations

import json
from typing import Any

TASK = "Which river is longer, the Ouse or the Severn, and by how much?"
ROLES = ("researcher", "checker", "writer")
SAYS = {
    "researcher": "The Severn is 354 km long and the Ouse is 84 km long.",
    "checker": "The researcher says the Severn is 354 km and the Ouse 84 km. The difference is 270 km.",
    "writer": "The Severn is longer than the Ouse by 270 km. TERMINATE",
}


def persona(role: str) -> str:
    return f"You are the {role}. Do your part in one sentence."


def answer(body: dict[str, Any]) -> str:
    """What the fake endpoint says: by the role in the system message."""
    return next(text for role, text in SAYS.items() if f"the {role}" in body["messages"][0]["content"])


async def langgraph_events(url: str) -> tuple[list[Any], list[Any]]:
    """The v2 event stream and the update stream of a LangGraph run, as JSON values."""
    from langchain_core.load import dumpd
    from langchain_core.messages import HumanMessage, SystemMessage
    from langchain_openai import ChatOpenAI
    from langgraph.graph import END, START, MessagesState, StateGraph

    model = ChatOpenAI(model="gpt-4o-mini", base_url=url, api_key="x", disable_streaming=True)  # type: ignore[arg-type]

    def node(role: str) -> Any:
        async def run(state: MessagesState) -> dict[str, Any]:
            reply = await model.ainvoke([SystemMessage(persona(role)), *state["messages"]])
            reply.name = role
            return {"messages": [reply]}

        return run

    graph = StateGraph(MessagesState)
    for role in ROLES:
        graph.add_node(role, node(role))
    for one, two in zip((START, *ROLES), (*ROLES, END), strict=True):
        graph.add_edge(one, two)
    app = graph.compile()
    start = {"messages": [HumanMessage(TASK)]}
    events = [_plain(dumpd(event)) async for event in app.astream_events(start, version="v2")]
    updates = [_plain(dumpd(update)) async for update in app.astream(start, stream_mode="updates")]
    return events, updates


async def autogen_messages(url: str) -> dict[str, Any]:
    """The task result of an AutoGen AgentChat round-robin team, as its own models dump it."""
    from autogen_agentchat.agents import AssistantAgent
    from autogen_agentchat.conditions import TextMentionTermination
    from autogen_agentchat.teams import RoundRobinGroupChat
    from autogen_core.models import ModelInfo
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    info = ModelInfo(vision=False, function_calling=True, json_output=False, family="unknown", structured_output=False)
    client = OpenAIChatCompletionClient(model="gpt-4o-mini", base_url=url, api_key="x", model_info=info)
    agents = [AssistantAgent(role, client, system_message=persona(role)) for role in ROLES]
    team = RoundRobinGroupChat(agents, termination_condition=TextMentionTermination("TERMINATE"), max_turns=6)
    result = await team.run(task=TASK)
    await client.close()
    messages = [message.model_dump(mode="json") for message in result.messages]
    return {"messages": messages, "stop_reason": result.stop_reason}


async def openai_agents_trace(url: str) -> list[dict[str, Any]]:
    """Trace and spans of an OpenAI Agents SDK run, as its exporter would send them."""
    from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, Runner, function_tool, trace
    from agents.tracing import set_trace_processors
    from agents.tracing.processor_interface import TracingProcessor
    from openai import AsyncOpenAI

    exported: list[dict[str, Any]] = []

    class Keep(TracingProcessor):
        def on_trace_start(self, trace: Any) -> None:
            exported.append(trace.export())

        def on_trace_end(self, trace: Any) -> None: ...

        def on_span_start(self, span: Any) -> None: ...

        def on_span_end(self, span: Any) -> None:
            exported.append(span.export())

        def shutdown(self) -> None: ...

        def force_flush(self) -> None: ...

    @function_tool
    def river_length(name: str) -> str:
        """Length of a river in km."""
        return {"Severn": "354 km", "Ouse": "84 km"}.get(name, "unknown")

    set_trace_processors([Keep()])
    client = AsyncOpenAI(base_url=url, api_key="x")
    model = OpenAIChatCompletionsModel(model="gpt-4o-mini", openai_client=client)
    said = TASK
    with trace("Rivers"):
        for role in ROLES:
            agent = Agent(
                name=role, instructions=persona(role), model=model, model_settings=ModelSettings(temperature=0),
                tools=[river_length] if role == "researcher" else [],
            )  # fmt: skip
            said = str((await Runner.run(agent, said)).final_output)
    await client.close()
    return json.loads(json.dumps(exported, default=str))


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))
