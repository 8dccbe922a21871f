"""Hugging Face configurations: those of known models, of unknown ones, and nonsense."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irongrid.domain.model import ModelShape
from irongrid.errors import SpecError
from irongrid.spec.catalog import model, named_model
from irongrid.spec.models import model_document


def llama(**changed: Any) -> dict[str, Any]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "tie_word_embeddings": False,
        **changed,
    }


LATENT = {
    "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
}  # fmt: skip
LOCAL_AND_GLOBAL = ["sliding_attention", "full_attention"]
# What the models' repositories say, without what a shape does not need.
KNOWN: dict[str, dict[str, Any]] = {
    "llama3.1-8b": llama(),
    "llama3.2-1b": llama(
        hidden_size=2048, intermediate_size=8192, num_hidden_layers=16, tie_word_embeddings=True,
        head_dim=64,
    ),
    "llama2-7b": {
        "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008,
        "num_attention_heads": 32, "num_hidden_layers": 32, "vocab_size": 32000,
    },
    "mistral-7b": llama(model_type="mistral", vocab_size=32000, sliding_window=4096),
    "mixtral-8x7b": llama(
        model_type="mixtral", vocab_size=32000, num_local_experts=8, num_experts_per_tok=2,
        sliding_window=None,
    ),
    "qwen2.5-7b": llama(
        model_type="qwen2", hidden_size=3584, intermediate_size=18944, num_attention_heads=28,
        num_hidden_layers=28, num_key_value_heads=4, vocab_size=152064, sliding_window=131072,
        use_sliding_window=False, max_window_layers=28,
    ),
    "qwen3-8b": llama(
        model_type="qwen3", intermediate_size=12288, num_hidden_layers=36, vocab_size=151936,
        head_dim=128, sliding_window=None, use_sliding_window=False, max_window_layers=36,
    ),
    "qwen3-30b-a3b": llama(
        model_type="qwen3_moe", hidden_size=2048, intermediate_size=6144, num_hidden_layers=48,
        num_key_value_heads=4, vocab_size=151936, head_dim=128, num_experts=128,
        num_experts_per_tok=8, moe_intermediate_size=768, decoder_sparse_step=1,
        mlp_only_layers=[],
    ),
    "deepseek-v3": llama(
        model_type="deepseek_v3", hidden_size=7168, intermediate_size=18432,
        num_attention_heads=128, num_key_value_heads=128, num_hidden_layers=61,
        vocab_size=129280, q_lora_rank=1536, moe_intermediate_size=2048, n_routed_experts=256,
        n_shared_experts=1, num_experts_per_tok=8, first_k_dense_replace=3, moe_layer_freq=1,
        n_group=8, topk_group=4, num_nextn_predict_layers=1, **LATENT,
    ),
    "deepseek-v2-lite": llama(
        model_type="deepseek_v2", hidden_size=2048, intermediate_size=10944,
        num_attention_heads=16, num_key_value_heads=16, num_hidden_layers=27, vocab_size=102400,
        q_lora_rank=None, moe_intermediate_size=1408, n_routed_experts=64, n_shared_experts=2,
        num_experts_per_tok=6, first_k_dense_replace=1, moe_layer_freq=1, n_group=1,
        topk_group=1, **LATENT,
    ),
    "gpt-oss-20b": llama(
        model_type="gpt_oss", hidden_size=2880, intermediate_size=2880, num_attention_heads=64,
        num_hidden_layers=24, vocab_size=201088, head_dim=64, num_local_experts=32,
        num_experts_per_tok=4, experts_per_token=4, sliding_window=128,
        layer_types=LOCAL_AND_GLOBAL * 12,
    ),
    "bloom-176b": {
        "model_type": "bloom", "n_embed": 14336, "hidden_size": 14336, "n_layer": 70,
        "num_attention_heads": 112, "vocab_size": 250880,
    },
    "falcon-40b": {
        "model_type": "falcon", "hidden_size": 8192, "num_hidden_layers": 60, "vocab_size": 65024,
        "num_attention_heads": 128, "num_kv_heads": 8, "new_decoder_architecture": True,
        "multi_query": True,
    },
    "opt-175b": {
        "model_type": "opt", "hidden_size": 12288, "ffn_dim": 49152, "num_hidden_layers": 96,
        "num_attention_heads": 96, "vocab_size": 50272, "max_position_embeddings": 2048,
    },
}  # fmt: skip


@pytest.mark.parametrize("name", KNOWN)
def test_the_configuration_of_a_model_gives_the_shape_of_the_catalog(name: str) -> None:
    found = model_document(KNOWN[name], source="config.json", name=name)

    assert found.assumed == ()
    ours = model(name)
    if ours.experts is not None and not ours.latent:
        # Where every block has experts, the width of a dense one means nothing.
        assert found.shape.parameters == ours.parameters
        assert replace(found.shape, ffn=ours.ffn) == ours
    else:
        head = found.shape.head_dim or ours.head_dim
        assert replace(found.shape, head_dim=head) == replace(ours, head_dim=head)


OTHERS: dict[str, tuple[dict[str, Any], float]] = {
    # Counts as transformers 5.24 builds them, 2026-11.
    "gpt2": (
        {"model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024,
         "n_inner": None, "vocab_size": 50257},
        124.4e6,
    ),
    "gpt-neox-20b": (
        {"model_type": "gpt_neox", "hidden_size": 6144, "intermediate_size": 24576,
         "num_attention_heads": 64, "num_hidden_layers": 44, "vocab_size": 50432,
         "tie_word_embeddings": False},
        20.55e9,
    ),
    "gemma2-2b": (
        {"model_type": "gemma2", "hidden_size": 2304, "intermediate_size": 9216,
         "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
         "num_hidden_layers": 26, "vocab_size": 256000, "sliding_window": 4096},
        2.614e9,
    ),
    "phi-1.5": (
        {"model_type": "phi", "hidden_size": 2048, "intermediate_size": 8192,
         "num_attention_heads": 32, "num_hidden_layers": 24, "vocab_size": 51200},
        1.418e9,
    ),
    "falcon-7b": (
        {"model_type": "falcon", "hidden_size": 4544, "num_attention_heads": 71,
         "num_hidden_layers": 32, "vocab_size": 65024, "multi_query": True},
        6.922e9,
    ),
    "mpt-1b": (
        {"model_type": "mpt", "d_model": 2048, "n_heads": 16, "n_layers": 24, "expansion_ratio": 4,
         "vocab_size": 50368},
        1.311e9,
    ),
    "starcoder": (
        {"model_type": "gpt_bigcode", "n_embd": 6144, "n_head": 48, "n_layer": 40,
         "n_inner": 24576, "n_positions": 8192, "vocab_size": 49152, "multi_query": True},
        15.5e9,
    ),
    "llama4-scout": (
        {"model_type": "llama4_text", "hidden_size": 5120, "intermediate_size": 8192,
         "intermediate_size_mlp": 16384, "num_attention_heads": 40, "num_key_value_heads": 8,
         "head_dim": 128, "num_hidden_layers": 48, "vocab_size": 202048, "num_local_experts": 16,
         "num_experts_per_tok": 1, "interleave_moe_layer_step": 1,
         "attention_chunk_size": 8192, "layer_types": [*["chunked_attention"] * 3,
                                                       "full_attention"] * 12},
        107.77e9,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_other_families_have_the_parameters_that_transformers_builds(name: str) -> None:
    document, parameters = OTHERS[name]

    found = model_document(document, source="config.json", name=name)

    assert found.shape.parameters == pytest.approx(parameters, rel=0.01)


def shape_of(**changed: Any) -> ModelShape:
    return model_document(llama(**changed), source="config.json", name="x").shape


def test_windows_are_counted_by_layer() -> None:
    gemma = OTHERS["gemma2-2b"][0]

    assert model_document(gemma, source="c", name="x").shape.windowed_layers == 13
    assert shape_of(sliding_window=512, sliding_window_pattern=6).windowed_layers == 27
    assert shape_of(sliding_window=512, layer_types=LOCAL_AND_GLOBAL * 16).windowed_layers == 16
    assert shape_of(sliding_window=512, max_window_layers=28).windowed_layers == 4


def test_every_second_block_may_have_experts() -> None:
    shape = shape_of(num_experts=8, num_experts_per_tok=2, decoder_sparse_step=2)

    assert shape.expert_layers == 16


def test_an_unknown_type_with_the_usual_names_works_and_says_what_it_assumed() -> None:
    found = model_document(llama(model_type="newest"), source="config.json", name="x")

    assert found.shape == model_document(KNOWN["llama3.1-8b"], source="c", name="x").shape
    assert 'the model_type "newest" is new to us' in found.assumed


def test_of_a_model_that_sees_only_the_language_part_counts() -> None:
    document = {"model_type": "see", "text_config": llama(), "vision_config": {"hidden_size": 1}}

    found = model_document(document, source="config.json", name="x")

    assert found.shape.parameters == 8_030_261_248
    assert found.assumed == ("only the language model of text_config is counted",)


def test_a_folder_gives_its_name_to_the_model(tmp_path: Path) -> None:
    folder = tmp_path / "my-llama"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(llama(), indent=2))

    assert named_model(str(folder)).name == "my-llama"
    assert named_model(str(folder / "config.json")) == named_model(str(folder))


def test_nonsense_is_reported_in_full_with_lines(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    wrong = llama(hidden_size="big", num_hidden_layers=-1, num_key_value_heads=1.5)
    del wrong["vocab_size"]
    path.write_text(json.dumps(wrong, indent=2))

    with pytest.raises(SpecError) as caught:
        model(str(path))

    said = {problem.field: problem.line for problem in caught.value.problems}
    assert said == {
        "hidden_size": 6,
        "num_hidden_layers": 9,
        "num_key_value_heads": 10,
        "vocab_size": 1,
    }


def test_numbers_that_do_not_fit_are_reported_by_their_own_names() -> None:
    with pytest.raises(SpecError, match=r"num_key_value_heads: kv_heads=5 does not divide heads"):
        shape_of(num_key_value_heads=5)
    with pytest.raises(SpecError, match=r"num_experts_per_tok: top_k=9 of 8 experts"):
        shape_of(num_experts=8, num_experts_per_tok=9)


def test_an_encoder_with_a_decoder_is_refused() -> None:
    with pytest.raises(SpecError, match="describes an encoder and a decoder"):
        shape_of(is_encoder_decoder=True)


def test_long_files_of_programs_are_read_and_longer_ones_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    labels = {str(number): f"label {number}" for number in range(2000)}
    path.write_text(json.dumps(llama(id2label=labels)))
    assert model(str(path)).parameters == 8_030_261_248

    path.write_text(json.dumps(llama(x="x" * 2**20)))
    with pytest.raises(SpecError, match="larger than 1024 KiB"):
        model(str(path))


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[" * 100_000, "null", "\x00", "{" + '"a":{' * 50_000, "3"]
)
def test_a_file_that_is_no_configuration_is_a_report(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)

    with pytest.raises(SpecError):
        model(str(path))


JUNK = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(["", "8", [], {}, [None], {"a": 1}, ["sliding_attention"] * 99, {1: 2}])
)


@settings(max_examples=60, deadline=None)
@given(
    changes=st.dictionaries(
        st.sampled_from([*KNOWN["deepseek-v3"], "layer_types", "sliding_window", "text_config",
                         "expansion_ratio", "decoder_sparse_step", "mlp_only_layers"]),
        JUNK,
        max_size=4,
    )
)  # fmt: skip
def test_whatever_a_configuration_holds_it_is_a_shape_or_a_report(changes: dict[str, Any]) -> None:
    document = {**KNOWN["deepseek-v3"], **changes}

    with suppress(SpecError):
        shape = model_document(document, source="config.json", name="x").shape
        assert shape.parameters > 0
        assert 0 <= shape.expert_layers <= shape.layers
