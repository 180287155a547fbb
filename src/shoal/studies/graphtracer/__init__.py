"""GraphTracer: tracing failures along who used what (arXiv 2510.10581), as experiments that can fail.

The paper was withdrawn by its authors (v2, December 2025: a fundamental error in the main results). Its numbers are
therefore no target. What is tested is the idea: the graph, the tracing rule, the reward, the metrics, on runs whose
cause is known; and the data that it was tested on, Who&When (arXiv 2505.00212), whose constant answers are exact.

Evidence. ``tracing``, ``conditions`` and ``extraction`` use made-up runs and a made-up judge (scripted): they test the
method, not language models. ``learning`` trains a small network. ``planted`` corrupts replies in scripted teams that
are run again. ``logs`` are 126 real failure logs. ``judges`` and ``judges-logs`` ask a real model.

The judge. The page asks for "a noisy step judge with set AUC" and does not say what it sees. Both readings are run. One
sees own *faults*: symptoms look clean to it; this is q(v) as step 5 defines it ("own fault probability given its
parents"), and the claims of the page are read on it. The other sees *errors*, own or inherited, as somebody does who
checks statements; its claims end in ``-errors``. Suspicions are calibrated with the usual share of such steps; all
methods get the same. "Earliest suspicious" and the step-by-step protocol have a threshold, which is tuned for each
condition on 300 other runs; tracing has nothing to tune (alpha = 0.5, which the paper does not report).

Made-up runs follow the page: 20 to 80 steps, 4 agents, |V| about 0.5 T and |E| about 2.5 |V|, errors pass with 0.9, a
fifth of the unused steps slips. The fault goes into any artefact; in training, and where it says so, into one of the
quarter of highest Impact (graph-aware data). Runs that succeed all the same are drawn again.

Departures. The learned tracer is a network of a thousand weights over thirteen features, not an 8B language model; see
``shoal.diagnosis.tracer``. "Distance between cause and symptom" is counted in steps from the root to the terminal. The
gap that is to grow with it is that to tracing on a chain, whose loss the sentence is about; the gap to "earliest
suspicious" is a claim of its own. "At chance" means an interval that reaches no higher than 0.03 above drawing among
the steps that the failure was made from. The control is judged twice, because graph-aware faults sit in central steps,
where a tracer that learned nothing but the reward's geometry looks too.

Thresholds are the page's, and a bound is asked of the whole interval, as elsewhere here: 0.10 for the gain over
"earliest suspicious". How far usage edges read from words are weighted was tuned on other made-up runs. No setting was
changed after the claims' own seeds were seen.

Reading ``judges``: the cause is step 0 in three of ten of these short runs, so that a model which always answers
"part A" scores 0.30 by binary search, above one step in all. The small local model scores exactly that.
"""

from __future__ import annotations

from collections.abc import Mapping

from shoal.runs.mechanism import flows
from shoal.runs.study import Experiment, Study, Vocabulary
from shoal.stats import Evidence
from shoal.studies.graphtracer.claims import CLAIMS
from shoal.studies.graphtracer.plots import plots
from shoal.studies.graphtracer.real import hand_logs, judges, judges_logs, logs, no_hand_logs, no_logs
from shoal.studies.graphtracer.settings import (
    ASKED,
    BEST_AGENT,
    CHAIN,
    CHANCE,
    CONTROL,
    FEW,
    FINDINGS,
    FOUND,
    LAST,
    LOADER,
    LOG_METHODS,
    METHODS,
    PATH_ONLY,
    RANDOM,
    RULE,
    RUNS,
    SOURCE_ONLY,
    TRAINED,
    TRUE,
    UNTRAINED,
    GraphTracerConfig,
)
from shoal.studies.graphtracer.synthetic import conditions, extraction, learning, planted, tracing

ON_LOGS = (LOADER, *LOG_METHODS, BEST_AGENT)
_SEEDS: Mapping[str, int] = {"quick": 1, "standard": 1, "full": 1}

# fmt: off
EXPERIMENTS = (
    Experiment("tracing", tracing, (*METHODS, RUNS), joint=True),
    Experiment("conditions", conditions, FEW, joint=True),
    Experiment("extraction", extraction, (FOUND, TRUE, CHAIN), joint=True),
    Experiment("learning", learning, (UNTRAINED, TRAINED, CONTROL, RULE, SOURCE_ONLY, PATH_ONLY, CHANCE),
               Evidence.TRAINED, seeds={"quick": 1, "standard": 5, "full": 20}, joint=True),
    Experiment("planted", planted, (FINDINGS, *FEW[:-1], LAST, RANDOM), joint=True),
    Experiment("logs", logs, ON_LOGS, Evidence.RECORDED, seeds=_SEEDS, joint=True, skip=no_logs),
    Experiment("logs-hand", hand_logs, ON_LOGS, Evidence.RECORDED, seeds=_SEEDS, joint=True, skip=no_hand_logs),
    Experiment("judges", judges, ASKED, seeds=_SEEDS, model=True, joint=True),
    Experiment("judges-logs", judges_logs, ASKED, seeds=_SEEDS, model=True, joint=True, skip=no_logs),
)
# fmt: on

STUDY = Study(
    name="graphtracer",
    title="GraphTracer: failures traced along who used what",
    paper="arXiv 2510.10581 (2025; withdrawn by its authors in v2)",
    kind="diagnosis",
    engine="diagnosis",
    summary=(
        "A failed run is walked back from its failure along an information dependency graph: the cause is a suspicious "
        "step with clean parents and much depending on it. The paper was withdrawn, so its numbers are no target; the "
        "rule, its ablations, a tracer that learns, and three ways of asking a model are tested on runs with known "
        "causes, and on the 126 real logs of Who&When beside the constant answers."
    ),
    mechanism=flows(
        "failed run -(who used what)-> dependency graph -(back from the failure)-> candidate steps",
        "candidate steps -> own fault, clean parents -> score -(highest)-> root cause: agent, step, path",
        "dependency graph -> impact -> score",
    ),
    config=GraphTracerConfig,
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    sizes={
        "quick": {
            "runs": 100,
            "tuning_runs": 60,
            "condition_runs": 15,
            "text_runs": 15,
            "lessons": 100,
            "held_out": 50,
            "updates": 200,
            "planted_tasks": 2,
            "judged_runs": 1,
            "judged_logs": 1,
            "characters": 1000,
        },
        "standard": {},
        "full": {
            "runs": 2000,
            "condition_runs": 500,
            "lessons": 2000,
            "updates": 2000,
            "planted_tasks": 50,
            "judged_runs": 40,
            "judged_logs": 126,
        },
    },
    seeds={"quick": 3, "standard": 5, "full": 20},
    vocabulary=Vocabulary(),
    plots=plots,
)
