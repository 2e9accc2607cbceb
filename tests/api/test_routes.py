"""
Which paths run a model, and which are never relayed.
"""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from swapgate.api.routes import is_administration, runs_a_model
from swapgate.config.api_paths import extra_paths, normal
from swapgate.config.ini import BadValue


class NormalTests(SynchronousTestCase):
    """
    One form for each path.
    """

    def test_normal(self) -> None:
        """
        One slash at the end goes, and the second of two /v1.
        """
        for path, same in {
            "/": "/",
            "/v1": "/v1",
            "/v1/": "/v1",
            "/v1/v1": "/v1",
            "/v1/v1/models/": "/v1/models",
            "/v1/v1beta": "/v1/v1beta",
            "/v1/v1/v1/models": "/v1/v1/models",
            "/V1/v1/models": "/V1/v1/models",
            "/a/v1/v1/b": "/a/v1/v1/b",
        }.items():
            self.assertEqual(normal(path), same)


class TableTests(SynchronousTestCase):
    """
    What a path is.
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


class ExtraTests(SynchronousTestCase):
    """
    `extra_paths`.
    """

    def test_read(self) -> None:
        """
        Between commas or line ends, in their normal form; administration as well, for
        the one who writes it may do everything.
        """
        self.assertEqual(
            extra_paths("/v1/tomorrow, /v1beta/models/a:go\n/api/chat ,/props"),
            {"/v1/tomorrow", "/v1beta/models/a:go", "/api/chat", "/props"},
        )

    def test_mistakes(self) -> None:
        """
        Each with its remedy.
        """
        for text, remedy in {
            "v1/x": "write one like /v1/tomorrow",
            "/": "write one like",
            "/a//b": "write one like",
            "/a/../b": "write one like",
            "/a?b": "write one like",
            "/a%20b": "write one like",
            "/a,": "'' is no path",
            "/v1/v1/x": "write that",
            "/health": "answered by the gateway itself",
            "/v1/models": "answered by the gateway itself",
            "/swapgate/state": "answered by the gateway itself",
        }.items():
            self.assertIn(remedy, str(self.assertRaises(BadValue, extra_paths, text)))
