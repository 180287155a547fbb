"""A budget inside a budget: what one channel may spend of the session's money."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from shoal.errors import BudgetExceeded
from shoal.runs.budget import Budget, Limits
from shoal.teams.session import Session
from shoal.teams.vocabulary.schema import ChannelBudget
from shoal.traces import Usage


class Purse(Budget):
    """Limits of its own, and every call is charged to the outer budget too."""

    def __init__(self, limits: Limits, outer: Budget) -> None:
        super().__init__(limits)
        self.outer = outer

    def tokens_left(self, agent: str = "") -> int | None:
        """The smaller of what the two budgets leave."""
        left = [n for n in (super().tokens_left(agent), self.outer.tokens_left(agent)) if n is not None]
        return min(left) if left else None

    def reserve(self, agent: str, tokens: int, money: float = 0.0) -> None:
        """Set a call aside in both. Raises BudgetExceeded if one of them refuses, and then in neither."""
        super().reserve(agent, tokens, money)
        try:
            self.outer.reserve(agent, tokens, money)
        except BudgetExceeded:
            super().settle(agent, tokens, None, money)
            raise

    def settle(self, agent: str, reserved_tokens: int, usage: Usage | None, reserved_money: float = 0.0) -> None:
        """Charge both."""
        super().settle(agent, reserved_tokens, usage, reserved_money)
        self.outer.settle(agent, reserved_tokens, usage, reserved_money)


@contextmanager
def limited(session: Session, limits: ChannelBudget | None) -> Iterator[Session]:
    """The session under a channel's limits; its counts go to the session as well."""
    if limits is None:
        yield session
        return
    purse = Purse(Limits(limits.tokens, limits.calls, limits.seconds, limits.money), session.budget)
    inner = replace(session, budget=purse, messages=0)
    try:
        yield inner
    finally:
        session.messages += inner.messages
