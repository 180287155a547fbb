"""Trainable language models: one policy for each role, on a shared base or on bases of their own.

A shared base carries one LoRA adapter for each role (peft), so that roles differ in a few thousand numbers and the base
is in memory once; without a rank every role trains a whole network of its own.
"""

from __future__ import annotations

import copy
import json
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoal.errors import InputError
from shoal.models.causal.network import ADAPTER_FILE, context_of, need_packages, save_network
from shoal.models.causal.tokenizers import Tokenizer
from shoal.models.causal.writing import Prompt, Written, padded, places, recurring, write

BASE = "base"
SHARED = 0.75
"""Share of different prompts in a batch up to which they are read by themselves."""
TARGETS = ("q_proj", "v_proj")
"""Layers that an adapter changes: queries and values (LoRA, arXiv 2106.09685, section 4.2)."""


@dataclass(frozen=True)
class Lora:
    """How adapters are shaped.

    Attributes:
        rank: of each change.
        alpha: it is scaled by alpha / rank.
        targets: names of the layers that are changed, or "all-linear".
    """

    rank: int = 8
    alpha: int = 16
    targets: tuple[str, ...] | str = TARGETS


@dataclass
class Policy:
    """What one role is trained with.

    Attributes:
        role: its name.
        network: of transformers; with adapters, shared by all roles of the base.
        tokenizer: of the base.
        adapter: name of its adapter in the network; None where it trains the whole network.
        lock: held while the network has this role's adapter switched on; one for all roles of a base.
    """

    role: str
    network: Any
    tokenizer: Tokenizer
    adapter: str | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def context(self) -> int:
        """Most tokens of prompt and reply together."""
        return context_of(self.network)

    def parameters(self) -> list[Any]:
        """What is trained, in a fixed order."""
        return [tensor for _, tensor in self.named_parameters()]

    def named_parameters(self) -> list[tuple[str, Any]]:
        """Names and tensors of what is trained."""
        named = self.network.named_parameters()
        if self.adapter is None:
            return list(named)
        return [(name, tensor) for name, tensor in named if f".{self.adapter}." in name]

    @contextmanager
    def active(self) -> Iterator[Any]:
        """The network with this role's adapter switched on."""
        if self.adapter is not None:
            self.network.set_adapter(self.adapter)
        yield self.network

    @contextmanager
    def base(self) -> Iterator[Any]:
        """The network as it was before training: the reference of a KL penalty. With an adapter it costs no memory."""
        if self.adapter is None:
            raise InputError("kl", "a network without adapter", "Give adapters a rank, or a reference network.")
        with self.network.disable_adapter():
            yield self.network

    def write(self, prompts: Sequence[Prompt]) -> list[Written]:
        """Replies in one batch, with the log-probabilities under which they were drawn."""
        with self.lock, self.active() as network:
            return write(network, prompts, self.tokenizer.end, self.tokenizer.pad)

    def logprobs(
        self,
        prompts: Sequence[Sequence[int]],
        replies: Sequence[Sequence[int]],
        temperatures: Sequence[float] | None = None,
        reference: bool = False,
        entropy: bool = False,
    ) -> tuple[Any, Any, Any]:
        """Log-probability of each token of each reply, under the distribution it is drawn from.

        Args:
            prompts: token ids before each reply; nothing in them gets a gradient.
            replies: token ids.
            temperatures: of each row; 1 if left out.
            reference: under the base instead, without gradient.
            entropy: also of each distribution, in nats; zeros otherwise.

        Returns log-probabilities, entropies and mask, each [rows, longest reply]; padding is 0 and False.
        """
        import torch

        ids, real = (x.to(next(self.network.parameters()).device) for x in padded(replies, self.tokenizer.pad))
        with self.base() if reference else self.active() as network, torch.no_grad() if reference else nullcontext():
            logits = _reply_logits(network, prompts, replies, self.tokenizer.pad).float()
        if temperatures is not None:
            heat = torch.tensor([t if t > 0 else 1.0 for t in temperatures], device=logits.device)
            logits = logits / heat[:, None, None]
        every = torch.log_softmax(logits, -1)
        chosen = every.gather(-1, ids[:, :, None]).squeeze(-1)
        real = real.bool()
        spread = -(every.exp() * every).sum(-1) if entropy else torch.zeros_like(chosen)
        return torch.where(real, chosen, 0.0), torch.where(real, spread, 0.0), real


def _reply_logits(network: Any, prompts: Sequence[Sequence[int]], replies: Sequence[Sequence[int]], pad: int) -> Any:
    """Logits [rows, longest reply, vocabulary] before each token of the replies, which lie at the right end.

    A prompt that rows have in common is read once for all of them, with its gradient: in a group of rollouts prompts
    are most of the text. Where nearly all differ, prompt and reply go through together.
    """
    import torch

    device = next(network.parameters()).device
    distinct, which = recurring(prompts)
    longest = max(map(len, replies))
    if len(distinct) > SHARED * len(prompts):
        rows = [[*p, *r] for p, r in zip(prompts, replies, strict=True)]
        ids, mask = (x.to(device) for x in padded(rows, pad))
        out = network(input_ids=ids, attention_mask=mask, position_ids=places(mask), logits_to_keep=longest + 1)
        return out.logits[:, :-1]
    ids, mask = (x.to(device) for x in padded(distinct, pad))
    read = network(input_ids=ids, attention_mask=mask, position_ids=places(mask), use_cache=True, logits_to_keep=1)
    copies = torch.tensor(which, device=device)
    read.past_key_values.batch_select_indices(copies)
    ids, real = (x.to(device) for x in padded(replies, pad))
    seen = torch.cat([mask[copies], real], 1)
    wrote = network(
        input_ids=ids, attention_mask=seen, position_ids=places(seen)[:, -longest:],
        past_key_values=read.past_key_values, use_cache=True,
    )  # fmt: skip
    # What comes before a reply's first token is the end of its prompt, before the others it is the token to the left.
    first = (real.cumsum(-1) == 1) & (real == 1)
    before = torch.cat([wrote.logits[:, :1], wrote.logits[:, :-1]], 1)
    return torch.where(first[:, :, None], read.logits[copies], before)


def make_policies(
    roles: Sequence[str], network: Any, tokenizer: Tokenizer, lora: Lora | None = None, seed: int = 0
) -> dict[str, Policy]:
    """A policy for each role.

    Args:
        roles: names, each once.
        network: the base; with adapters it is changed in place and shared, without it is copied for each role.
        tokenizer: of the base.
        lora: adapters' shape; None to train whole networks.
        seed: of fresh adapters; they begin as no change at all.

    Raises:
        InputError: no roles, or one twice.
    """
    need_packages("policies")
    if not roles or len(set(roles)) != len(roles):
        raise InputError("roles", list(roles), "Name at least one trainable role, each once.")
    if lora is None:
        return {role: Policy(role, copy.deepcopy(network), tokenizer) for role in roles}
    import torch
    from peft import LoraConfig, get_peft_model

    targets = lora.targets if isinstance(lora.targets, str) else list(lora.targets)
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=targets, task_type="CAUSAL_LM")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by a name that is about to change
        torch.manual_seed(seed)
        wrapped = get_peft_model(network, config, adapter_name=_slot(0))
        for number in range(1, len(roles)):
            wrapped.add_adapter(_slot(number), config)
    for name, tensor in wrapped.named_parameters():
        tensor.requires_grad_(".lora_" in name)
    wrapped.eval()
    lock = threading.Lock()
    return {role: Policy(role, wrapped, tokenizer, _slot(number), lock) for number, role in enumerate(roles)}


def share(policies: Mapping[str, Policy], groups: Mapping[str, str]) -> dict[str, Policy]:
    """Policies in which roles mapped to the same group are trained as one: ``{"solver": "all", "verifier": "all"}``."""
    chosen: dict[str, Policy] = {}
    return {role: chosen.setdefault(groups.get(role, role), policy) for role, policy in policies.items()}


def export_adapters(policies: Mapping[str, Policy], folder: Path, base: str = "") -> list[Path]:
    """Write each role's adapter in peft's own format (or its whole network), a folder for each role.

    Each folder is a model: ``local:FOLDER`` seats it in any team.

    Args:
        policies: by role.
        folder: of the folders.
        base: spec of the base model; where it has none, the base is written beside the adapters.
    """
    written = []
    if not base and any(policy.adapter is not None for policy in policies.values()):
        _write_base(next(iter(policies.values())), folder / BASE)
    for role, policy in policies.items():
        target = folder / role
        if policy.adapter is None:
            save_network(target, policy.network, policy.tokenizer)
        else:
            policy.network.save_pretrained(target, selected_adapters=[policy.adapter], safe_serialization=True)
            _flatten(target, policy.adapter, base or f"../{BASE}")
            policy.tokenizer.save(target)
        written.append(target)
    return written


def _flatten(folder: Path, slot: str, base: str) -> None:
    """What peft wrote for one of several adapters, as if it were the only one, with the name of its base."""
    for part in (folder / slot).iterdir():
        part.replace(folder / part.name)
    (folder / slot).rmdir()
    (folder / "README.md").unlink(missing_ok=True)  # peft's card, with nothing in it
    config = folder / ADAPTER_FILE
    facts = json.loads(config.read_text(encoding="utf-8")) | {"base_model_name_or_path": base}
    config.write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _write_base(policy: Policy, folder: Path) -> None:
    """The network below the adapters; they are taken off a copy, so that training can go on."""
    save_network(folder, copy.deepcopy(policy.network).unload(), policy.tokenizer)


def _slot(number: int) -> str:
    """Adapter names are module names in the network, where a role's own name might not be allowed."""
    return f"role{number}"
