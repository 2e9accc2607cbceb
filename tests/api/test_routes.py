"""
Which paths run a model, and which are never relayed.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from swapgate.api.routes import is_administration, runs_a_model
from swapgate.config.url_paths import normal


class TableTests(SynchronousTestCase):
    """
    The class of a path.
    """

    def test_what_runs_a_model(self) -> None:
        """
        With and without /v1 where an engine has both, and only there.
        """
        for path in (
            *("/chat/completions", "/completions", "/embeddings", "/responses"),
            *("/chat/completions/input_tokens", "/responses/input_tokens"),
            *("/rerank", "/reranking", "/audio/transcriptions", "/audio/speech"),
            *("/images/generations", "/score", "/classify", "/tokenize"),
        ):
            self.assertTrue(runs_a_model(path), path)
            self.assertTrue(runs_a_model(f"/v1{path}"), path)
        for path in (
            *("/v1/messages", "/v1/messages/count_tokens", "/v2/rerank", "/v2/embed"),
            *("/completion", "/embedding", "/infill", "/apply-template", "/pooling"),
            *("/generate", "/encode", "/invocations", "/inference/v1/generate"),
        ):
            self.assertTrue(runs_a_model(path), path)
            self.assertFalse(is_administration(path), path)

    def test_administration(self) -> None:
        """
        llama-server's, vLLM's, SGLang's and Ollama's, however they are written.
        """
        for path in (
            *("/slots", "/slots/0", "/SLOTS/0", "/v1/slots/0", "/V1/Slots", "/props"),
            *("/lora-adapters", "/models", "/models/load", "/v1/models/load"),
            *("/v1/models", "/cors-proxy", "/tools", "/cvectors/load", "/mcp/stdio"),
            *("/v1/chat/completions/control", "/v1/stream/a", "/v1/v1/slots"),
            *("/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/load_lora_adapter"),
            *("/sleep", "/wake_up", "/collective_rpc", "/reset_prefix_cache"),
            *("/reset_mm_cache", "/pause", "/resume", "/scale_elastic_ep"),
            *("/update_weights", "/init_weight_transfer_engine", "/start_profile"),
            *("/flush_cache", "/update_weights_from_disk", "/abort_request"),
            *("/get_weights_by_name", "/release_memory_occupation", "/open_session"),
            *("/api/pull", "/api/delete", "/api/blobs/sha256:a", "/api/create"),
            "/slots/a\nb",
        ):
            self.assertTrue(is_administration(path), path)
            self.assertFalse(runs_a_model(path), path)

    def test_unknown(self) -> None:
        """
        All the rest, also what only looks like one of them.
        """
        for path in (
            *("/", "/v1", "/v1/v1", "/api/chat", "/modelsx", "/v2/tomorrow", "/sleepy"),
            *("/chat/completions/", "/V1/chat/completions", "/v1/Chat/completions"),
            *(
                "/v1/v1/chat/completions",
                "/v1/chat",
                "/chat/completions/x",
                "/v1/infill",
            ),
            *("/v1/audio", "/v1/audio/a/b", "/audio/", "/v1/images/a\n", "/video/x"),
            *("/v1/chat/completions\n", " /completions", "/v1/chat/slots"),
            *("/a/v1/completions", "/v1/responses/resp_1/cancel"),
        ):
            self.assertFalse(runs_a_model(path), path)
            self.assertFalse(is_administration(path), path)

    @given(st.text("/v1chatompleins", max_size=20))
    def test_never_both(self, text: str) -> None:
        """
        No path is two things.
        """
        path = normal(f"/{text}")
        self.assertFalse(runs_a_model(path) and is_administration(path))
