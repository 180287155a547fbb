"""Error cascades, "From Spark to Fire" (arXiv 2603.04474, 2026), as experiments that can fail.

One falsehood in a team of language models is quoted, built upon and believed. The paper treats this as contagion on
the graph of messages, gives R = beta rho / delta as a warning, names three weaknesses (amplification, topology,
inertia), and puts a governance layer on the messages that takes them apart into claims and holds back what is not
proven.

Evidence. ``threshold`` to ``estimation`` are equations and simulations of them: they say what the model of contagion
implies, not that language models obey it. ``defences``, ``coin`` and ``coverage`` are synthetic teams (six agents,
eight rounds) with the real layer between them, so they test the layer's logic at error rates that we set. ``judging``
and ``relay`` ask a model; the small local one by default, any endpoint with --model.

Where we depart. The six frameworks are a chain, a star and a mesh of our own. NumPy and SciPy instead of JAX: nothing
is to be compiled, and 10^5 agents x 200 runs x 30 rounds take seconds (`shoal bench cascades`). Not found in the paper
and chosen: tau = 0.5, K = 2 retries, maximum likelihood for beta and delta. A correction raises delta to 0.9, from
R = 2.5; a first look used 0.6 from R = 4, which leaves R above 1, so that no correction could ever win. The most
dangerous seed is read from the transposed graph by default: u_1 says where an error gathers, its counterpart who
spreads it; ``seeds`` measures both. AGrail and CFG are other systems and not built.

Assumptions of the synthetic teams, none of them a finding: packaging multiplies beta (0.15) by 6 or 5 and divides delta
(0.6) by as much, which puts undefended infection into the paper's range; a tag halves the chance to be believed; a
sender mends what is sent back with 0.7; the layer knows the attacked constraint from the task in ``briefed`` = 0.8 of
runs; judge and verifier err in 1 to 5% and come to no verdict in 10%. These numbers were set once. After a first look
(40 other seeds) three things changed in the mechanism: unresolved claims are verified again at each turn, as on the
page; agents stop restating what they were told to leave out; and a mesh's decider counts as a hub. ``coverage`` shows
how much of Speed's gain hangs on ``briefed``. The relay's prompt was chosen among three on 18 other items, because
the small model fell into repeating itself on one kind of item; the defences' figures were on the screen. A first full
run told the layer the task of every item of the relay, so that the three modes could not differ; now it knows the task
in ``briefed`` of them and can look it up as evidence in all.

Thresholds are the page's: 2%, tenfold, below R = 0.8, p < 0.01, 0.3 over 60 seeds in each cell, 5 points, 200 runs.
Ours: "near 0" is below 0.1 (no count of 60 runs can show less than 0.06), "dies" is a hundredth of the seed, "at least
as good" in BICR is not worse by more than 0.02 (cells at 1.00 tie exactly), "contains 1" is read from a bootstrap
interval of the ratio of means. Claims marked "our own" are not the paper's.
"""

from __future__ import annotations

from shoal.runs.mechanism import flows
from shoal.runs.study import Experiment, Study, Vocabulary
from shoal.stats import Evidence
from shoal.studies.error_cascades.claims import CLAIMS
from shoal.studies.error_cascades.defending import coin, coverage, defences, judging, relay
from shoal.studies.error_cascades.equations import acyclic, correction, estimation, hub, phase, seeds, threshold
from shoal.studies.error_cascades.figures import plots
from shoal.studies.error_cascades.settings import (
    CLEAN,
    COMPLIANCE,
    CORRECTIONS,
    DEFENCES,
    DEGREE,
    FUD,
    GATHERING,
    HUB,
    LEAF,
    MEAN_FIELD,
    MESH_ONE,
    MESH_TWO,
    MODEL,
    MODES,
    MONTE_CARLO,
    NEVER,
    NO_APPEALS,
    NONE,
    PLAIN,
    POISSON,
    PRODUCT,
    REACH,
    REFLECTION,
    RELAYED,
    RULES,
    SPREADING,
    CascadesConfig,
)

# fmt: off
_ONE = {"quick": 1, "standard": 1, "full": 1}

EXPERIMENTS = (
    Experiment("threshold", threshold, (PRODUCT, POISSON), Evidence.EXACT, seeds=_ONE, joint=True),
    Experiment("phase", phase, (MEAN_FIELD, MONTE_CARLO), seeds={"quick": 3, "standard": 10, "full": 40}, joint=True),
    Experiment("hub", hub, (HUB, LEAF, MESH_ONE, MESH_TWO), seeds=_ONE, joint=True),
    Experiment("seeds", seeds, (SPREADING, GATHERING, REACH, DEGREE), seeds=_ONE, joint=True),
    Experiment("correction", correction, (*(f"t = {t}" for t in CORRECTIONS), NEVER), seeds=_ONE, joint=True),
    Experiment("acyclic", acyclic, ("chain", "chain, rereading"), seeds=_ONE, joint=True),
    Experiment("estimation", estimation, ("chain", "star", "mesh", "ring"),
               seeds={"quick": 10, "standard": 50, "full": 200}, joint=True),
    Experiment("defences", defences, tuple(DEFENCES), joint=True),
    Experiment("coin", coin, (*MODES, NO_APPEALS), joint=True),
    Experiment("coverage", coverage, (NONE, REFLECTION, *MODES), joint=True),
    Experiment("relay", relay, (CLEAN, PLAIN, COMPLIANCE, FUD, *RELAYED), seeds=_ONE, model=True, joint=True),
    Experiment("judging", judging, (RULES, MODEL), seeds=_ONE, model=True, joint=True),
)
# fmt: on

STUDY = Study(
    name="error-cascades",
    title="Error cascades: one falsehood through a team, and a layer that holds it back",
    paper="arXiv 2603.04474 (2026)",
    kind="diagnosis",
    engine="diagnosis",
    summary=(
        "An error in a team of agents spreads like a contagion on the graph of messages; R = beta rho / delta warns "
        "of growth, reach of what travels anyway. A governance layer takes messages apart into claims, holds back "
        "what is contradicted, and asks for a rewrite. Equations, simulations, synthetic teams under attack with "
        "eight defences, and a relay of a real model."
    ),
    mechanism=flows(
        "false claim -> agent -(message)-> atomic claims -> label of each claim -(green)-> released message",
        "released message -(next round)-> neighbours",
        "label of each claim -(yellow)-> verification -(proven)-> released message",
        "label of each claim -(red)-> order to rewrite -(at most K times)-> agent",
        "verification -(refuted)-> order to rewrite",
        "released message -(confirmed)-> lineage of claims -> label of each claim",
    ),
    config=CascadesConfig,
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    sizes={
        "quick": {"graphs": 6, "relay_items": 2, "judge_items": 1, "max_tokens": 16, "settle": 120},
        "standard": {},
        "full": {"graphs": 50, "runs": 1000, "relay_items": 60, "judge_items": 60},
    },
    seeds={"quick": 8, "standard": 60, "full": 200},
    vocabulary=Vocabulary(
        actors=("peers", "roles"),
        type=("cooperation",),
        structure=("centralized", "decentralized"),
        strategy=("rule-based",),
        protocol=("chain", "star", "mesh", "messages held back and sent back"),
    ),
    plots=plots,
)
