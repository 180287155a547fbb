"""Communication between agents: families by name, channels to intervene in, measures of what messages do.

Every policy-gradient learner takes one between its encoder and its head: ``communication="commnet:rounds=2"``.
"""

from shoal.marl.communication.channels import Chain, Channel, Clear, Cut, Delay, Drop, Noise, Packet, Scramble, Shuffle
from shoal.marl.communication.exchange import COMMUNICATIONS, Exchange, Said, Scale, listing, make_communication, parse

__all__ = [
    "COMMUNICATIONS",
    "Chain",
    "Channel",
    "Clear",
    "Cut",
    "Delay",
    "Drop",
    "Exchange",
    "Noise",
    "Packet",
    "Said",
    "Scale",
    "Scramble",
    "Shuffle",
    "listing",
    "make_communication",
    "parse",
]
