"""Post-training: rollouts of a team beside transformers' own ``generate``, and a training step beside TRL's GRPO.

Rollouts: a chain of three roles, 32 problems at once, one tiny transformer (0.9 M parameters) with an adapter for each
role. The peer is the plain loop of most published team trainers: for each problem and role, one ``generate`` with that
role's adapter switched on. Replies have equal length (nothing may end early), so tokens per second are of equal work.

Step: one policy without adapters, 8 problems of 4 replies, 24 tokens, GRPO without a KL term, the same network, the
same length of prompts; rollouts and gradient step counted. TRL runs in a process of its own by the interpreter that
SHOAL_PEERS_PYTHON names (this one otherwise); it needs trl and nothing of shoal. Each side has all threads of the
machine, and its fastest step counts: other work only ever slows one down.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from shoal.runs.machine import machine_facts

PROBLEMS, ROLES, LENGTH = 32, 3, 24
GROUP = 4
STEPS = 12
ROUNDS = 3

TRL = """
import json, resource, sys, time, warnings
warnings.simplefilter("ignore")
import torch, trl
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer
folder, prompt, rows, group, length, steps = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:7])
times = []
class Clock(TrainerCallback):
    def on_step_begin(self, *a, **k): self.began = time.perf_counter()
    def on_step_end(self, *a, **k): times.append(time.perf_counter() - self.began)
args = GRPOConfig(output_dir=folder + "/out", per_device_train_batch_size=rows, num_generations=group,
    max_completion_length=length, max_steps=steps, logging_steps=10**6, report_to=[], use_cpu=True, beta=0.0,
    learning_rate=1e-4, save_strategy="no", bf16=False, disable_tqdm=True, gradient_checkpointing=False)
trainer = GRPOTrainer(model=AutoModelForCausalLM.from_pretrained(folder), args=args,
    reward_funcs=lambda completions, **k: [float(len(c) % 7) for c in completions],
    train_dataset=Dataset.from_list([{"prompt": prompt}] * (rows * steps)),
    processing_class=AutoTokenizer.from_pretrained(folder))
trainer.add_callback(Clock())
trainer.train()
print(json.dumps({"version": trl.__version__, "seconds": times[1:],
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def run() -> dict[str, Any]:
    rows = [_rollouts(), *_steps()]
    return {"name": "posttrain", "machine": machine_facts(), "rows": rows}


def _rollouts() -> dict[str, Any]:
    """Tokens per second of both, in alternation."""
    import torch

    from shoal.models.causal.network import tiny_network
    from shoal.models.causal.tokenizers import CharacterTokenizer
    from shoal.posttrain.policies import Lora, make_policies
    from shoal.posttrain.rollouts import roll_out
    from shoal.tasks.catalogue import open_task
    from shoal.teams.catalogue import open_team

    plan = open_team(f"chain:agents={ROLES}")
    tokenizer = CharacterTokenizer()
    tokenizer.end = ()  # replies of equal length
    policies = make_policies([a.name for a in plan.agents], tiny_network(0), tokenizer, Lora())
    problems = open_task("sums").problems(PROBLEMS, 0)
    asked: list[tuple[str, list[int]]] = []

    def ours() -> float:
        start = time.perf_counter()
        done = roll_out(plan.run, plan.agents, problems, policies, max_tokens=LENGTH, seed=1)
        seconds = time.perf_counter() - start
        turns = [turn for r in done for turn in r.turns]
        asked[:] = [(turn.role, turn.prompt) for turn in turns]
        return sum(len(turn.tokens) for turn in turns) / seconds

    def theirs() -> float:
        start, written = time.perf_counter(), 0
        for role, prompt in asked:
            with policies[role].active() as network, torch.no_grad():
                out = network.generate(
                    input_ids=torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                    max_new_tokens=LENGTH, min_new_tokens=LENGTH, do_sample=True, pad_token_id=tokenizer.pad,
                )  # fmt: skip
            written += out.shape[1] - len(prompt)
        return written / (time.perf_counter() - start)

    mine, other = zip(*[(ours(), theirs()) for _ in range(ROUNDS)], strict=True)
    setting = f"rollouts of {ROLES} roles, batch {PROBLEMS}, {LENGTH} tokens"
    return _row("transformers", metadata.version("transformers"), setting, max(mine), max(other), "tokens/s")


def _steps() -> list[dict[str, Any]]:
    """Seconds of a step and peak memory, ours in a process of its own too."""
    with tempfile.TemporaryDirectory() as folder:
        _save_for_transformers(Path(folder))
        peers: list[dict[str, Any] | str] = []
        mine: list[dict[str, Any]] = []
        for _ in range(2):
            mine.append(_child([sys.executable, __file__, "--step"]))
            peers.append(_trl(folder, "What is 12+34? " * 99, mine[0]["prompt"]))
    told = [p for p in peers if isinstance(p, dict)]
    version = told[0]["version"] if told else str(peers[0])
    fastest = min(min(m["seconds"]) for m in mine)
    theirs = min(min(p["seconds"]) for p in told) if told else None
    middle = statistics.median(x for m in mine for x in m["seconds"])
    name = f"one GRPO step, {PROBLEMS} replies of {LENGTH} tokens"
    step = _row("trl", version, name, fastest, theirs, "s", less=True)
    step["note"] = f"median {middle:.3g} s"
    if told:
        step["note"] += f" against {statistics.median(x for p in told for x in p['seconds']):.3g} s"
    memory = _row(
        "trl", version, f"{name}: peak memory", mine[0]["peak"], told[0]["peak"] if told else None, "MiB", less=True
    )
    return [step, memory]


def _save_for_transformers(folder: Path) -> None:
    """The tiny network and a tokenizer of its characters as transformers reads them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from shoal.models.causal.network import tiny_network
    from shoal.models.causal.tokenizers import CHARACTERS, SPECIAL

    words = {"<pad>": 0, "<end>": 1, "<reply>": 2, "<unk>": 3, **{c: SPECIAL + i for i, c in enumerate(CHARACTERS)}}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    inner.decoder = decoders.Fuse()
    PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<end>", unk_token="<unk>"
    ).save_pretrained(folder)
    tiny_network(0).save_pretrained(folder)


def _trl(folder: str, text: str, characters: int) -> dict[str, Any] | str:
    python = os.environ.get("SHOAL_PEERS_PYTHON", "") or sys.executable
    numbers = map(str, (PROBLEMS, GROUP, LENGTH, STEPS))
    try:
        return _child([python, "-c", TRL, folder, text[:characters], *numbers])
    except subprocess.CalledProcessError as error:
        last = error.stderr.strip().splitlines()[-1] if error.stderr.strip() else "it said nothing"
        return "not installed: pip install trl" if "ModuleNotFoundError" in last else f"failed: {last}"


def step_of_ours() -> dict[str, Any]:
    """The same training with the trainer, in this process."""
    from shoal.models.causal.network import tiny_network
    from shoal.models.causal.tokenizers import CharacterTokenizer
    from shoal.posttrain.method import METHODS
    from shoal.posttrain.policies import make_policies
    from shoal.posttrain.trainer import Trainer
    from shoal.tasks.catalogue import open_task
    from shoal.teams.catalogue import open_team

    plan = open_team("single")
    policies = make_policies([a.name for a in plan.agents], tiny_network(0), CharacterTokenizer())
    method = METHODS.get("grpo")(problems=PROBLEMS // GROUP, group=GROUP, max_tokens=LENGTH)
    trainer = Trainer(
        plan.run, plan.agents, policies, method, open_task("sums"), reward=lambda _, r: float(len(r.turns[0].text) % 7)
    )
    seconds = [trainer.update()["seconds"] for _ in range(STEPS)][1:]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    turns = [turn for r in trainer.rollouts(trainer.task.problems(PROBLEMS // GROUP, 0)) for turn in r.turns]
    return {"seconds": seconds, "peak": peak, "prompt": max(len(turn.prompt) for turn in turns)}


def _child(command: Sequence[str]) -> dict[str, Any]:
    environment = {"OMP_WAIT_POLICY": "passive", **os.environ}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def _row(
    peer: str, version: str, setting: str, mine: float, theirs: float | None, unit: str, less: bool = False
) -> dict[str, Any]:
    """A line of the result; a ratio above 1 is in our favour."""
    ratio = None if theirs is None else theirs / mine if less else mine / theirs
    return {"peer": peer, "version": version, "setting": setting, "ours": mine, "theirs": theirs, "unit": unit,
            "ratio": ratio}  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(step_of_ours() if "--step" in sys.argv else run()))
