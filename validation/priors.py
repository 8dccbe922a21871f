"""What we believe about every coefficient before any row is read: centre and relative width.

`*` is a coefficient, or the base of a table; a word's entry is its ratio to the base; `each` is
that of words without an entry. Centres come from data sheets, the papers that the cost formulas
name, and guides of libraries; widths say how much a fit may move them.
"""

PRIOR: dict[str, dict[str, tuple[float, float]]] = {
    "gemm_efficiency": {
        "*": (0.78, 0.15), "each": (1.0, 0.12), "volta": (0.9, 0.1), "turing": (0.75, 0.15),
        "ampere": (1.05, 0.1), "hopper": (0.95, 0.1), "blackwell": (0.95, 0.1),
        "cdna2": (0.7, 0.15), "cdna3": (0.7, 0.15), "tpu": (1.15, 0.1), "cpu": (0.6, 0.3),
    },
    "precision_efficiency": {
        "*": (1.0, 0.001), "each": (1.0, 0.01), "fp8": (0.9, 0.15), "mxfp8": (0.85, 0.15),
        "nvfp4": (0.65, 0.25),
    },
    "device_efficiency": {"*": (1.0, 0.001), "each": (1.0, 0.06), "other": (1.0, 0.08)},
    "flash_behaviour": {
        "*": (1.0, 0.001), "each": (1.0, 0.25), "megatron": (1.3, 0.25), "nemo": (1.3, 0.25),
        "megatron-bridge": (1.3, 0.25), "megatron-bridge-2604": (1.3, 0.25),
        "megatron-bridge-2511": (1.3, 0.25), "megatron-bridge-2509": (1.3, 0.25),
    },
    "power_exponent": {"*": (0.4, 0.05)},
    "gemm_half_k": {"*": (100.0, 0.7)},
    "gemm_half_n": {"*": (60.0, 0.7)},
    "gemm_kernel_s": {"*": (5e-6, 0.4)},
    "gemm_traffic": {"*": (1.0, 0.5)},
    "wave_exponent": {"*": (0.4, 0.5)},
    "expert_efficiency": {"*": (0.85, 0.2)},
    "expert_half_tokens": {"*": (300.0, 0.5)},
    "elementwise_passes": {"*": (12.0, 0.5)},
    "activation_passes": {"*": (2.5, 0.5)},
    "cast_passes": {"*": (2.0, 0.7)},
    "flash_efficiency": {
        "*": (0.42, 0.3), "each": (1.0, 0.25), "ampere": (1.2, 0.2), "tpu": (1.5, 0.25),
    },
    "score_efficiency": {"*": (0.5, 0.4)},
    "score_passes": {"*": (5.0, 0.5)},
    "softmax_fallback": {"*": (2.0, 0.4)},
    "head_passes": {"*": (8.0, 0.5)},
    "host_layer_s": {"*": (6e-4, 0.7)},
    "host_expert_s": {
        "*": (2.5e-3, 0.3), "each": (1.0, 0.3), "megatron-bridge-2604": (1.6, 0.3),
        "megatron-bridge-2511": (1.6, 0.3), "megatron-bridge-2509": (1.0, 0.3),
    },
    "host_backward": {"*": (1.0, 0.15)},
    "host_tp_growth": {"*": (0.2, 0.7)},
    "host_grace": {"*": (0.55, 0.2)},
    "step_s": {"*": (0.03, 1.0)},
    "micro_batch_s": {"*": (3e-4, 1.0)},
    "island_share": {"*": (0.75, 0.15)},
    "net_share": {"*": (0.85, 0.15)},
    "collective_latency": {"*": (3.0, 0.7)},
    "tp_exposed": {
        "*": (0.9, 0.15), "each": (1.0, 0.2), "torchtitan-async": (0.55, 0.3),
        "megatron-bridge": (0.6, 0.3), "megatron-bridge-2604": (0.6, 0.3),
        "megatron-bridge-2511": (0.6, 0.3), "megatron-bridge-2509": (0.6, 0.3),
        "megatron": (0.7, 0.3), "nemo": (0.6, 0.3),
    },
    "cp_exposed": {"*": (0.1, 0.7)},
    "cp_hidden": {"*": (0.8, 0.3)},
    "expert_exposed": {"*": (0.7, 0.4), "each": (1.0, 0.3)},
    "expert_passes": {"*": (6.0, 0.5)},
    "p2p_exposed": {"*": (0.3, 0.8)},
    "bubble": {
        "*": (1.0, 0.05), "each": (1.0, 0.05), "zb-1p": (0.39, 0.2), "zb-2p": (0.07, 0.5),
        "zbv": (0.1, 0.3), "dualpipev": (0.15, 0.3),
    },
    "dp_exposed": {"*": (0.5, 0.4)},
    "shard_exposed": {"*": (0.2, 0.5), "each": (1.0, 0.4), "zero3-2021": (9.0, 0.3)},
    "shard_hidden": {"*": (0.9, 0.2)},
    "recompute_share": {"*": (0.97, 0.05), "each": (1.0, 0.08)},
    "selective_share": {"*": (0.03, 0.7), "each": (1.0, 0.5), "torchtitan": (10.0, 0.4),
                        "torchtitan-async": (10.0, 0.4),
                        "torchtitan-eager": (10.0, 0.4)},
    "optimizer_passes": {"*": (1.3, 0.4)},
    "straggle": {"*": (0.008, 0.7)},
}  # fmt: skip
