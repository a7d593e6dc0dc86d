"""Published config.jsons, one or more of each family, as their publishers wrote them but for keys that say nothing of the architecture."""

QWEN3 = dict(
    model_type="qwen3", attention_bias=False, attention_dropout=0.0, bos_token_id=151643, head_dim=128, hidden_act="silu", hidden_size=5120,
    initializer_range=0.02, intermediate_size=25600, max_position_embeddings=40960, max_window_layers=64, num_attention_heads=64, num_hidden_layers=64,
    num_key_value_heads=8, rms_norm_eps=1e-6, rope_scaling=None, rope_theta=1000000, sliding_window=None, tie_word_embeddings=False, torch_dtype="bfloat16",
    transformers_version="4.51.0", use_cache=True, use_sliding_window=False, vocab_size=151936,
)  # fmt: skip
QWEN3_MOE = dict(
    model_type="qwen3_moe", attention_bias=False, decoder_sparse_step=1, head_dim=128, hidden_act="silu", hidden_size=4096, intermediate_size=12288,
    max_position_embeddings=40960, max_window_layers=94, mlp_only_layers=[], moe_intermediate_size=1536, norm_topk_prob=True, num_attention_heads=64,
    num_experts=128, num_experts_per_tok=8, num_hidden_layers=94, num_key_value_heads=4, output_router_logits=False, rms_norm_eps=1e-6, rope_scaling=None,
    rope_theta=1000000.0, router_aux_loss_coef=0.001, sliding_window=None, tie_word_embeddings=False, use_sliding_window=False, vocab_size=151936,
)  # fmt: skip
LLAMA = dict(
    model_type="llama", attention_bias=False, hidden_act="silu", hidden_size=2048, intermediate_size=8192, max_position_embeddings=131072, mlp_bias=False,
    head_dim=64, num_attention_heads=32, num_hidden_layers=16, num_key_value_heads=8, pretraining_tp=1, rms_norm_eps=1e-5, rope_theta=500000.0,
    rope_scaling=dict(factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=8192, rope_type="llama3"),
    tie_word_embeddings=True, vocab_size=128256,
)  # fmt: skip
MISTRAL = dict(
    model_type="mistral", hidden_act="silu", hidden_size=4096, intermediate_size=14336, max_position_embeddings=32768, num_attention_heads=32,
    num_hidden_layers=32, num_key_value_heads=8, rms_norm_eps=1e-5, rope_theta=10000.0, sliding_window=4096, tie_word_embeddings=False, vocab_size=32000,
)  # fmt: skip
MIXTRAL = dict(
    model_type="mixtral", attention_dropout=0.0, hidden_act="silu", hidden_size=6144, intermediate_size=16384, max_position_embeddings=65536,
    num_attention_heads=48, num_experts_per_tok=2, num_hidden_layers=56, num_key_value_heads=8, num_local_experts=8, output_router_logits=False,
    rms_norm_eps=1e-5, rope_theta=1000000, router_aux_loss_coef=0.001, router_jitter_noise=0.0, sliding_window=None, tie_word_embeddings=False,
    vocab_size=32768,
)  # fmt: skip
MOONLIGHT = dict(
    model_type="deepseek_v3", attention_bias=False, aux_loss_alpha=0.001, first_k_dense_replace=1, hidden_act="silu", hidden_size=2048,
    intermediate_size=11264, kv_lora_rank=512, max_position_embeddings=8192, moe_intermediate_size=1408, moe_layer_freq=1, n_group=1, n_routed_experts=64,
    n_shared_experts=2, norm_topk_prob=True, num_attention_heads=16, num_experts_per_tok=6, num_hidden_layers=27, num_key_value_heads=16,
    num_nextn_predict_layers=0, q_lora_rank=None, qk_nope_head_dim=128, qk_rope_head_dim=64, rms_norm_eps=1e-5, rope_scaling=None, rope_theta=50000.0,
    routed_scaling_factor=2.446, scoring_func="sigmoid", seq_aux=True, tie_word_embeddings=False, topk_group=1, topk_method="noaux_tc", v_head_dim=128,
    vocab_size=163840,
)  # fmt: skip
FP8 = dict(activation_scheme="dynamic", fmt="e4m3", quant_method="fp8", weight_block_size=[128, 128])
DEEPSEEK_YARN = dict(beta_fast=32, beta_slow=1, factor=40, mscale=1.0, mscale_all_dim=1.0, original_max_position_embeddings=4096, type="yarn")
DEEPSEEK_V3 = {
    **MOONLIGHT,
    **dict(
        ep_size=1, first_k_dense_replace=3, hidden_size=7168, intermediate_size=18432, max_position_embeddings=163840, moe_intermediate_size=2048, n_group=8,
        n_routed_experts=256, n_shared_experts=1, num_attention_heads=128, num_experts_per_tok=8, num_hidden_layers=61, num_key_value_heads=128,
        num_nextn_predict_layers=1, q_lora_rank=1536, rms_norm_eps=1e-6, rope_scaling=DEEPSEEK_YARN, rope_theta=10000, routed_scaling_factor=2.5,
        topk_group=4, vocab_size=129280, quantization_config=FP8,
    ),
}  # fmt: skip
KIMI_K2 = {
    **DEEPSEEK_V3,
    **dict(
        model_type="kimi_k2", first_k_dense_replace=1, max_position_embeddings=131072, n_group=1, n_routed_experts=384, num_attention_heads=64,
        num_key_value_heads=64, num_nextn_predict_layers=0, rope_scaling={**DEEPSEEK_YARN, "beta_fast": 1.0, "factor": 32.0}, rope_theta=50000.0,
        routed_scaling_factor=2.827, topk_group=1, vocab_size=163840,
    ),
}  # fmt: skip
INT4 = dict(
    config_groups={"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "group_size": 32}}}, format="pack-quantized",
    ignore=["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", r"re:.*mlp\.(gate|up|gate_up|down)_proj.*"], kv_cache_scheme=None,
    quant_method="compressed-tensors", quantization_status="compressed",
)  # fmt: skip
KIMI_K25 = dict(
    architectures=["KimiK25ForConditionalGeneration"], model_type="kimi_k25", bos_token_id=163584, dtype="bfloat16", ignore_index=-100,
    media_placeholder_token_id=163605, tie_word_embeddings=False, use_unified_vision_chunk=True, video_placeholder="<|kimi_k25_video_placeholder|>",
    vision_config=dict(mm_hidden_size=1152, vt_num_hidden_layers=27),
    text_config={
        **KIMI_K2,
        **dict(
            _name_or_path="", add_cross_attention=False, is_encoder_decoder=False, pruned_heads={}, top_k=50, temperature=1.0, max_length=20,
            max_position_embeddings=262144, rms_norm_eps=1e-5, rope_scaling={**DEEPSEEK_YARN, "factor": 64.0}, quantization_config=INT4,
        ),
    },
)  # fmt: skip
GPT_OSS = dict(
    model_type="gpt_oss", attention_bias=True, attention_dropout=0.0, eos_token_id=200002, experts_per_token=4, head_dim=64, hidden_act="silu",
    hidden_size=2880, initial_context_length=4096, intermediate_size=2880, layer_types=["sliding_attention", "full_attention"] * 12,
    max_position_embeddings=131072, num_attention_heads=64, num_experts_per_tok=4, num_hidden_layers=24, num_key_value_heads=8, num_local_experts=32,
    output_router_logits=False, rms_norm_eps=1e-5, rope_theta=150000, router_aux_loss_coef=0.9, sliding_window=128, swiglu_limit=7.0,
    tie_word_embeddings=False, use_cache=True, vocab_size=201088,
    rope_scaling=dict(beta_fast=32.0, beta_slow=1.0, factor=32.0, original_max_position_embeddings=4096, rope_type="yarn", truncate=False),
    quantization_config=dict(
        modules_to_not_convert=["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"], quant_method="mxfp4"
    ),
)  # fmt: skip
