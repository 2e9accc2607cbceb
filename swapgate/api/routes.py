"""
Routes: the table of paths that run a model, and of those that administrate a daemon.

A path in neither is unknown, so that a wrong path loads nothing. The engines meant are
llama-server, vLLM and SGLang, and those with the API of one of them.
"""

import re
from typing import Final

# What runs a daemon's model.
_RUNS: Final = re.compile(
    r"""
    # With and without /v1. Where an engine has both, the two may differ: llama-server
    # answers /completions in a form of its own. So each is passed on as it was sent.
    (?:/v1)?/(?:
        chat/completions(?:/input_tokens)? | completions | embeddings
        | responses(?:/input_tokens)? | rerank | reranking
        # vLLM and SGLang.
        | classify | score | tokenize | detokenize
        # audio/speech, images/generations and their like, but nothing below these.
        | (?:audio|images)/[a-z_]+
    )
    # Anthropic's API.
    | /v1/messages(?:/count_tokens)?
    # llama-server's own.
    | /(?: apply-template | completion | embedding | infill)
    # vLLM.
    | /(?: generative_scoring | inference/v1/generate | invocations | pooling)
    | /v1/(?: chat/completions/(?:batch|render) | completions/render | decisions)
    | /v2/(?: embed | rerank)
    # SGLang.
    | /(?: encode | generate | vertex_generate)
    """,
    re.VERBOSE,
)


# What changes a daemon instead. A path is compared in lower case
# and without /v1, though engines are stricter: no API has names that differ only in it.
_ADMINISTRATION: Final = re.compile(
    r"""/(?:
    # llama-server and its forks: slots are saved to files; adapters, vectors and whole
    # models come and go; the proxy and the tools reach out from where the engine runs;
    # another client's answer can be changed.
    slots | props | lora-adapters | cvectors | models | cors-proxy | tools | mcp
    | chat/completions/control | streams?
    # vLLM.
    | (?:un)?load_lora_adapter | sleep | wake_up | collective_rpc | pause | resume
    | reset_[a-z]+_cache | scale_elastic_ep | abort_requests? | server_info
    | (?:start|stop)_profile
    # SGLang.
    | flush_cache | clear_hicache[a-z_]* | hicache | freeze_gc | set_internal_state
    | [a-z]+_expert_distribution_record | configure_logging | slow_down
    | (?:get|update|init|send|destroy|post_process)_weight[a-z_]*
    | (?:release|resume)_memory_occupation | (?:pause|continue)_generation
    | (?:open|close)_session
    # Ollama.
    | api/(?:pull|push|create|copy|delete|blobs)
    )(?:/.*)?""",
    re.VERBOSE | re.DOTALL,
)


def runs_a_model(path: str) -> bool:
    """
    Whether this path, in its normal form, runs a model.
    """
    return _RUNS.fullmatch(path) is not None


def is_administration(path: str) -> bool:
    """
    Whether this path, in its normal form, is a daemon's own administration.
    """
    bare = path.casefold()
    while bare.startswith("/v1/"):
        bare = bare.removeprefix("/v1")
    return _ADMINISTRATION.fullmatch(bare) is not None
