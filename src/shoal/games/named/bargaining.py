"""Bargaining, trust and entry: games of moves one after another."""

from __future__ import annotations

import numpy as np

from shoal.games.catalogue import game
from shoal.games.extensive import Decision, End, Extensive, Node, extensive
from shoal.games.game import require
from shoal.games.normal_form import NormalForm, symmetric


@game(
    "ultimatum",
    "Ultimatum game",
    "bargaining",
    "Subgame perfect: offer 0 (or the least), accept; people offer 40 to 50%.",
)
def ultimatum(pie: int = 10) -> Extensive:
    """The proposer offers a part of the pie; if the responder refuses, both get nothing."""
    require("pie", pie, 1 <= pie <= 1000, "Use 1 to 1000.")
    answers = []
    for offer in range(pie + 1):
        ends = (End((float(pie - offer), float(offer))), End((0.0, 0.0)))
        said = f"You are offered {offer} of {pie}."
        answers.append(Decision(1, f"offer-{offer}", ("accept", "refuse"), ends, said))
    root = Decision(0, "offer", tuple(f"offer-{k}" for k in range(pie + 1)), tuple(answers))
    story = (
        f"The proposer offers the responder a part of {pie}. If the responder accepts, they share so; if it refuses, "
        "both get nothing."
    )
    return extensive(root, ("proposer", "responder"), story=story, brief=True)


@game("trust", "Trust game", "bargaining", "Subgame perfect: nothing is sent, nothing returned (Berg et al. 1995).")
def trust(endowment: int = 4, factor: int = 3) -> Extensive:
    """What the investor sends is multiplied; the trustee returns what it likes."""
    require("endowment", endowment, 1 <= endowment <= 20, "Use 1 to 20.")
    require("factor", factor, 1 <= factor <= 10, "Use 1 to 10.")
    replies = []
    for sent in range(endowment + 1):
        had = sent * factor
        ends = tuple(End((float(endowment - sent + back), float(had - back))) for back in range(had + 1))
        names = tuple(f"return-{back}" for back in range(had + 1))
        replies.append(Decision(1, f"sent-{sent}", names, ends, f"You got {had}."))
    root = Decision(0, "send", tuple(f"send-{k}" for k in range(endowment + 1)), tuple(replies))
    story = (
        f"The investor has {endowment} and may send some of it to the trustee, who gets {factor} times as much and may "
        "return any part of that."
    )
    return extensive(root, ("investor", "trustee"), story=story, brief=True)


@game("centipede", "Centipede game", "bargaining", "Subgame perfect: stop at once; people go on for a while.")
def centipede(moves: int = 6, cost: float = 1.0, gift: float = 5.0) -> Extensive:
    """Going on costs the mover ``cost`` and brings the other ``gift``; stopping ends the game."""
    require("moves", moves, 1 <= moves <= 200, "Use 1 to 200.")
    require("gift", gift, gift > cost > 0, "Use gift > cost > 0.")

    def grown(k: int, have: tuple[float, float]) -> Node:
        if k == moves:
            return End(have)
        mover = k % 2
        after = [have[0] + gift, have[1] + gift]
        after[mover] = have[mover] - cost
        nodes = (End(have), grown(k + 1, (after[0], after[1])))
        said = f"You have {have[mover]:g}, the other {have[1 - mover]:g}. {moves - k} moves are left."
        return Decision(mover, f"move-{k + 1}", ("stop", "go-on"), nodes, said)

    story = (
        f"Two players move in turn, {moves} times at most. Going on costs you {cost:g} and brings the other {gift:g}; "
        "stopping ends the game and both keep what they have."
    )
    return extensive(grown(0, (0.0, 0.0)), ("first", "second"), story=story, brief=True)


@game(
    "entry-deterrence", "Entry deterrence", "bargaining", "Subgame perfect: enter, share; the threat to fight is empty."
)
def entry_deterrence() -> Extensive:
    """A newcomer enters or stays out; the incumbent fights or shares."""
    fight = Decision(1, "entered", ("share", "fight"), (End((2.0, 2.0)), End((-1.0, -1.0))), "They entered.")
    root = Decision(0, "entry", ("enter", "stay-out"), (fight, End((0.0, 4.0))))
    return extensive(root, ("newcomer", "incumbent"))


@game("nash-demand", "Nash demand game", "bargaining", "Every exact split is an equilibrium.")
def nash_demand(pie: int = 10) -> NormalForm:
    """Both get what they demand if it is there."""
    require("pie", pie, 1 <= pie <= 100, "Use 1 to 100.")
    d = np.arange(pie + 1)
    own = np.where(np.add.outer(d, d) <= pie, d[:, None], 0)
    return symmetric(own.astype(float), [f"demand-{k}" for k in d])
