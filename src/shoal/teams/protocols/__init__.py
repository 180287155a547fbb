"""Team protocols: who is asked what, in which order, and how one answer comes out of it.

Each protocol is one async function registered by ``@protocol``; ``PROTOCOLS.get(name)`` gives its entry.
"""

from shoal.teams.protocols.aggregation import Opinion, Tally, tally
from shoal.teams.protocols.asking import Call, Post, poll
from shoal.teams.protocols.faults import kill
from shoal.teams.protocols.registration import PROTOCOLS, ProtocolEntry, protocol

__all__ = ["PROTOCOLS", "Call", "Opinion", "Post", "ProtocolEntry", "Tally", "kill", "poll", "protocol", "tally"]
