"""Trained adapters as models of their own, and a pulled model as a base that can be trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the extra `posttrain` is not installed")

from shoal.errors import InputError  # noqa: E402
from shoal.models import open_model  # noqa: E402
from shoal.models.causal.network import load_base, load_network, save_network, tiny_network  # noqa: E402
from shoal.models.causal.pulled import load_pulled  # noqa: E402
from shoal.models.causal.tokenizers import CharacterTokenizer  # noqa: E402
from shoal.models.causal.writing import Prompt, write  # noqa: E402
from shoal.models.interface import Request  # noqa: E402
from shoal.models.local import status  # noqa: E402
from shoal.posttrain.policies import Lora, Policy, export_adapters, make_policies  # noqa: E402

TOKENS = CharacterTokenizer()
SHAPE = {"width": 16, "layers": 1, "heads": 2, "inner": 32, "context": 64}
ASKED = [{"role": "user", "content": "copy: abc"}]


def trained(base_seed: int = 0) -> dict[str, Policy]:
    """Policies whose adapters differ from no change at all."""
    policies = make_policies(["solver", "verifier"], tiny_network(base_seed, **SHAPE), TOKENS, Lora(rank=2))
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for policy in policies.values():
            for tensor in policy.parameters():
                tensor.add_(0.3 * torch.randn(tensor.shape, generator=noise))
    return policies


@pytest.mark.parametrize("named", [False, True], ids=["base beside", "base named"])
def test_an_adapter_folder_writes_what_its_role_wrote(tmp_path: Path, named: bool) -> None:
    base = ""
    if named:
        save_network(tmp_path / "elsewhere", tiny_network(0, **SHAPE), TOKENS)
        base = f"local:{tmp_path / 'elsewhere'}"
    policies = trained()
    prompt = Prompt(TOKENS.encode_chat(ASKED), 12, 0.0, 0, None)
    replies = {role: policy.write([prompt])[0] for role, policy in policies.items()}
    assert replies["solver"].tokens != replies["verifier"].tokens
    for folder in export_adapters(policies, tmp_path / "adapters", base):
        network, tokenizer = load_network(folder)
        again = write(network, [prompt], tokenizer.end, tokenizer.pad)[0]
        assert again.tokens == replies[folder.name].tokens
        assert again.logprobs == pytest.approx(replies[folder.name].logprobs, abs=1e-5)
    assert (tmp_path / "adapters" / "base").is_dir() != named


async def test_an_adapter_folder_is_a_model(tmp_path: Path) -> None:
    folder, other = export_adapters(trained(), tmp_path)
    model = open_model(f"local:{folder}")
    reply = await model.complete(Request(ASKED, max_tokens=4, temperature=0.0))
    assert 1 <= reply.usage.completion_tokens <= 4
    assert model.identity != open_model(f"local:{other}").identity


def test_training_goes_on_after_an_export(tmp_path: Path) -> None:
    policies = trained()
    before = [tensor.clone() for tensor in policies["solver"].parameters()]
    export_adapters(policies, tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(before, policies["solver"].parameters(), strict=True))


def test_bad_bases_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="local:smollm2"):
        load_base("openai:gpt")
    folder, _ = export_adapters(trained(), tmp_path)
    config = folder / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": None}))
    with pytest.raises(InputError, match="names no base"):
        load_network(folder)


@pytest.mark.slow
@pytest.mark.local_model
@pytest.mark.skipif(not all(model.ready for model in status()), reason="the local model is not pulled")
def test_a_pulled_model_is_a_base_with_the_same_tokens(tmp_path: Path) -> None:
    network, tokenizer = load_pulled("smollm2")
    chat = [{"role": "user", "content": "What is 3 + 4? Answer with just the number."}]
    ids = tokenizer.encode_chat(chat)
    own = open_model("local:smollm2")
    assert ids == own.tokenizer.encode_chat(chat)  # type: ignore[attr-defined]
    written = write(network, [Prompt(ids, 12, 0.0, 0, None)], tokenizer.end, tokenizer.pad)[0]
    assert "7" in tokenizer.decode(written.tokens)
    tokenizer.save(tmp_path)
    from transformers import AutoTokenizer

    again = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert again.encode("copy 12 abc", add_special_tokens=False) == tokenizer.encode("copy 12 abc")
