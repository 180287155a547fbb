"""SelfOrg: who listens to whom is decided per question and per round, from the answers themselves.

Stochastic Self-Organization in Multi-Agent Systems (arXiv 2510.00685). The arithmetic works on arrays with any leading
axes, so that the real team (one question) and the controlled population (thousands at once) run the same code.
"""

from shoal.teams.self_organisation.contribution import (
    ContributionRule,
    aggregate,
    consensus,
    contributions,
    shapley_values,
    similarities,
    within_question_auc,
)
from shoal.teams.self_organisation.graph import (
    EdgeRule,
    Graph,
    build_graph,
    calibrated_threshold,
    resolve_threshold,
)
from shoal.teams.self_organisation.team import ROLES, self_organise

__all__ = [
    "ROLES",
    "ContributionRule",
    "EdgeRule",
    "Graph",
    "aggregate",
    "build_graph",
    "calibrated_threshold",
    "consensus",
    "contributions",
    "resolve_threshold",
    "self_organise",
    "shapley_values",
    "similarities",
    "within_question_auc",
]
