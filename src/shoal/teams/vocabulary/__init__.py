"""The collaboration vocabulary of arXiv 2501.06322 as a typed schema, a validator, a compiler and a text for forms."""

from shoal.teams.vocabulary.compilation import CompiledTeam, compile_team
from shoal.teams.vocabulary.components import COMPONENTS, Component
from shoal.teams.vocabulary.description import Choice, choices, describe
from shoal.teams.vocabulary.files import dump_team, load_team, parse_team, to_config
from shoal.teams.vocabulary.schema import AgentSpec, Channel, Orchestration, Stop, TeamSpec
from shoal.teams.vocabulary.validation import check_team

__all__ = [
    "COMPONENTS",
    "AgentSpec",
    "Channel",
    "Choice",
    "CompiledTeam",
    "Component",
    "Orchestration",
    "Stop",
    "TeamSpec",
    "check_team",
    "choices",
    "compile_team",
    "describe",
    "dump_team",
    "load_team",
    "parse_team",
    "to_config",
]
