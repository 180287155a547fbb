"""Message passing on a graph in synchronous rounds, and the five AgentsNet tasks (arXiv 2507.08616).

>>> from shoal.teams.message_passing import make_graph, rounds_for, run_reference
>>> graph = make_graph("WS", 16, seed=1)
>>> run_reference(graph, "leader", rounds_for("leader", graph)).solved
True
"""

from shoal.teams.message_passing.algorithms import Knobs, reference_agent, run_reference
from shoal.teams.message_passing.baselines import central_answers, random_answers
from shoal.teams.message_passing.cost import CostEstimate, estimate_cost
from shoal.teams.message_passing.engine import (
    Agent,
    AsyncAgent,
    Conversation,
    Outbox,
    Said,
    Turn,
    View,
    converse,
    converse_async,
    views,
)
from shoal.teams.message_passing.graphs import FAMILIES, Graph, graph_from_edges, make_graph
from shoal.teams.message_passing.language import Style, estimate_language, run_language
from shoal.teams.message_passing.outcomes import TaskRun
from shoal.teams.message_passing.problems import GRADED, TASKS, Task, answer_options, decode, encode, rounds_for
from shoal.teams.message_passing.scoring import AgentsNetScore, agentsnet_score, score, score_answers, solved
from shoal.teams.message_passing.tables import Case, by_size, language_measurements, score_figures, score_table
from shoal.teams.message_passing.transcripts import edge_traffic, plot_traffic, transcript

__all__ = [
    "FAMILIES",
    "GRADED",
    "TASKS",
    "Agent",
    "AgentsNetScore",
    "AsyncAgent",
    "Case",
    "Conversation",
    "CostEstimate",
    "Graph",
    "Knobs",
    "Outbox",
    "Said",
    "Style",
    "Task",
    "TaskRun",
    "Turn",
    "View",
    "agentsnet_score",
    "answer_options",
    "by_size",
    "central_answers",
    "converse",
    "converse_async",
    "decode",
    "edge_traffic",
    "encode",
    "estimate_cost",
    "estimate_language",
    "graph_from_edges",
    "language_measurements",
    "make_graph",
    "plot_traffic",
    "random_answers",
    "reference_agent",
    "rounds_for",
    "run_language",
    "run_reference",
    "score",
    "score_answers",
    "score_figures",
    "score_table",
    "solved",
    "transcript",
    "views",
]
