"""Card games with hidden hands."""

from __future__ import annotations

from itertools import permutations

from shoal.games.catalogue import game
from shoal.games.extensive import Chance, Decision, End, Extensive, Node, extensive
from shoal.games.game import require

CARDS = ("jack", "queen", "king", "ace", "two", "three", "four", "five")


@game("kuhn-poker", "Kuhn poker", "cards", "Value -1/18 to the first player (Kuhn 1950).")
def kuhn_poker(cards: int = 3) -> Extensive:
    """One card each, one bet of 1, ante 1; with 3 cards this is Kuhn's game."""
    require("cards", cards, 3 <= cards <= len(CARDS), f"Use 3 to {len(CARDS)}.")
    deals = list(permutations(range(cards), 2))
    root = Chance(tuple((f"{CARDS[a]}, {CARDS[b]}", 1 / len(deals), _bet((a, b), "")) for a, b in deals))
    story = (
        f"{cards} cards, lowest first: {', '.join(CARDS[:cards])}. Both pay 1 and get one card. In turn a player "
        "passes or bets 1; after a bet the other may pass (and lose what it paid) or bet too. The higher card wins "
        "the pot."
    )
    return extensive(root, ("first", "second"), story=story, brief=True)


def _bet(hand: tuple[int, int], said: str) -> Node:
    higher = 1 if hand[0] > hand[1] else -1
    ends = {"pp": higher, "bb": 2 * higher, "pbb": 2 * higher, "bp": 1, "pbp": -1}
    if said in ends:
        return End((float(ends[said]), float(-ends[said])))
    mover = len(said) % 2
    past = ", ".join("pass" if s == "p" else "bet" for s in said) or "nothing"
    words = f"Your card is the {CARDS[hand[mover]]}. Said so far: {past}."
    key = f"{CARDS[hand[mover]]}:{said}"
    return Decision(mover, key, ("pass", "bet"), (_bet(hand, said + "p"), _bet(hand, said + "b")), words)
