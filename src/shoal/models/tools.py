"""Tools that an agent calls while it writes: ``[calculator: 12*3]`` is followed by what the tool gives, `` = 36``.

The reply goes on after the result. What a tool gives is read by the model and never counts as written by it.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from shoal.errors import UnknownName

CALL = re.compile(r"\[(\w+): ?([^\[\]\n]*)\]$")
"""A call at the end of what was written."""
LONGEST = 200
"""Characters of an argument that a tool reads, and of a result that it gives."""


@dataclass(frozen=True)
class Tool:
    """What an agent may call.

    Attributes:
        name: in calls; a word.
        what: what it does and takes, for the agent.
        run: from the argument to the result; raises ValueError, saying why, where there is none.
    """

    name: str
    what: str
    run: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call and what came of it; ``failed`` if the result is an error."""

    tool: str
    argument: str
    result: str
    failed: bool = False

    @property
    def inserted(self) -> str:
        """What stands behind the call in the reply."""
        return f" = {self.result}\n"


def asked(text: str, tools: Sequence[Tool]) -> tuple[Tool, str] | None:
    """The tool that the end of a text calls, and its argument; None if there is no call, or none of these tools."""
    found = CALL.search(text) if text.endswith("]") else None
    tool = next((t for t in tools if found is not None and t.name == found[1]), None)
    return None if found is None or tool is None else (tool, found[2])


def called(text: str, tools: Sequence[Tool]) -> ToolCall | None:
    """The call at the end of a text, carried out; None if there is none."""
    call = asked(text, tools)
    if call is None:
        return None
    tool, argument = call
    try:
        result, failed = tool.run(argument[:LONGEST]), False
    except ValueError as error:
        result, failed = f"error: {error}", True
    return ToolCall(tool.name, argument, result[:LONGEST], failed)


def directions(tools: Sequence[Tool]) -> str:
    """What an agent is told about its tools."""
    lines = [f"[{tool.name}: ...] {tool.what}" for tool in tools]
    return "\n".join(["You may call tools in your reply; the result appears behind the call:", *lines])


_OPERATORS: dict[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.USub: operator.neg, ast.UAdd: operator.pos,
}  # fmt: skip


def calculate(expression: str) -> str:
    """The value of an expression in numbers, ``+ - * / // %`` and brackets.

    Raises:
        ValueError: it is none, or has no value.
    """
    try:
        value = _value(ast.parse(expression.replace("×", "*").strip(), mode="eval").body)
    except (SyntaxError, MemoryError, RecursionError):
        raise ValueError("not an expression") from None
    except ArithmeticError:
        raise ValueError("no value") from None
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _value(node: ast.AST) -> float:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return number
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left), _value(right))
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(operand))
    raise ValueError("only numbers, + - * / // % and brackets")


CALCULATOR = Tool("calculator", "gives the value of an expression such as (12+3)*4", calculate)
TOOLS: Mapping[str, Tool] = {CALCULATOR.name: CALCULATOR}
"""Tools by name, for teams in files."""


def find_tools(names: Sequence[str]) -> tuple[Tool, ...]:
    """Tools by name. Raises UnknownName."""
    for name in names:
        if name not in TOOLS:
            raise UnknownName("tool", name, TOOLS)
    return tuple(TOOLS[name] for name in names)
