"""
The engine's command line: llama-server's options, and nothing else.
"""

from twisted.trial.unittest import SynchronousTestCase

from swapgate.engine import EngineError
from swapgate.engine.options import DEFAULTS, Member, Value, parse

# Every spelling, with a value where there is one, and what it sets.
SPELLINGS: tuple[tuple[tuple[str, ...], str | None, str, Value], ...] = (
    (("-m", "--model"), "b.gguf", "model.path", "b.gguf"),
    (("--port",), "8081", "port", 8081),
    (("--host",), "0.0.0.0", "hostnames", ("0.0.0.0",)),
    (("-a", "--alias"), "Qwen 2.5, q", "model_alias", ("Qwen 2.5", "q")),
    (("-c", "--ctx-size"), "4096", "n_ctx", 4096),
    (("-np", "--parallel"), "2", "n_parallel", 2),
    (("-t", "--threads"), "-1", "cpuparams.n_threads", -1),
    (("-ngl", "--gpu-layers", "--n-gpu-layers"), "99", "n_gpu_layers", 99),
    (("-ngl",), "auto", "n_gpu_layers", -1),
    (("-ngl",), "all", "n_gpu_layers", -2),
    (("-n", "--predict", "--n-predict"), "-1", "n_predict", -1),
    (("-r", "--reverse-prompt"), "\n", "antiprompt", ("\n",)),
    (("-r",), r"a\n\x41\\\"\q", "antiprompt", ('a\nA\\"\\q',)),
    (("--top-k",), "0", "sampling.top_k", 0),
    (("-mm", "--mmproj"), "v.gguf", "mmproj.path", "v.gguf"),
    (("--jinja",), None, "use_jinja", True),
    (("--chat-template-file",), "t.jinja", "chat_template", "t.jinja"),
    (("--slot-save-path",), "/s", "slot_save_path", "/s"),
    (("--swa-full",), None, "swa_full", True),
    (("-cram", "--cache-ram"), "0", "cache_ram_mib", 0),
    (("-ctxcp", "--ctx-checkpoints"), "8", "n_ctx_checkpoints", 8),
    (("--embedding", "--embeddings"), None, "embedding", True),
    (
        ("--rerank", "--reranking"),
        None,
        "pooling_type",
        Member("llama_pooling_type", "LLAMA_POOLING_TYPE_RANK"),
    ),
    *(
        (
            ("-fa", "--flash-attn"),
            text,
            "flash_attn_type",
            Member("llama_flash_attn_type", f"LLAMA_FLASH_ATTN_TYPE_{name}"),
        )
        for text, name in (
            ("on", "ENABLED"),
            ("off", "DISABLED"),
            ("auto", "AUTO"),
            (None, "ENABLED"),
        )
    ),
    (
        ("-ctk", "--cache-type-k"),
        "q8_0",
        "cache_type_k",
        Member("ggml_type", "GGML_TYPE_Q8_0"),
    ),
    (
        ("-ctv", "--cache-type-v"),
        "bf16",
        "cache_type_v",
        Member("ggml_type", "GGML_TYPE_BF16"),
    ),
    (("--no-warmup",), None, "warmup", False),
)


class ParseTests(SynchronousTestCase):
    """
    What a command line sets, and what it is told where it sets nothing.
    """

    def refusal(self, *arguments: str) -> str:
        with self.assertRaises(EngineError) as caught:
            parse(arguments)
        text = str(caught.exception)
        self.assertEqual(len(text.splitlines()), 1)
        return text

    def test_defaults(self) -> None:
        """
        A model is enough; the model is not read twice.
        """
        self.assertEqual(parse(["-m", "a"]), {**DEFAULTS, "model.path": "a"})
        self.assertIs(DEFAULTS["fit_params"], False)

    def test_every_spelling(self) -> None:
        """
        Each option is known by its short and its long names.
        """
        for names, text, field, value in SPELLINGS:
            for name in names:
                for after in ([], ["--no-warmup"]):
                    given = [name] if text is None else [name, text]
                    settings = parse(["-m", "a", *given, *after])
                    self.assertEqual(settings[field], value, given)

    def test_the_last_one_counts(self) -> None:
        """
        Given twice an option has its last value; reverse prompts are gathered.
        """
        settings = parse(["-m", "a", "-c", "1", "-c", "2", "-r", "x", "-r", "y"])
        self.assertEqual(settings["n_ctx"], 2)
        self.assertEqual(settings["antiprompt"], ("x", "y"))

    def test_reranking_embeds(self) -> None:
        """
        A reranker needs embeddings, which no option of its own has asked for.
        """
        self.assertIs(parse(["-m", "a", "--reranking"])["embedding"], True)

    def test_unknown(self) -> None:
        """
        Any other option is named, and so are those that there are.
        """
        for name in ("--device", "--jinja=on", "-p", "--help", "stray", ""):
            text = self.refusal("-m", "a", name)
            self.assertIn(f"there is no option {name!r}", text)
            self.assertIn("--model, --port, ", text)

    def test_no_value(self) -> None:
        """
        At the end of the line an option waits for its value in vain.
        """
        self.assertIn("-c needs a value", self.refusal("-m", "a", "-c"))

    def test_no_model(self) -> None:
        """
        Without a model there is nothing to serve.
        """
        self.assertIn("with -m", self.refusal("--port", "1"))

    def test_values_that_will_not_do(self) -> None:
        """
        The option, what stood there, and what may.
        """
        for name, text, remedy in (
            ("--port", "65536", "a number from 0 to 65535"),
            ("--port", "eighty", "a number from 0 to 65535"),
            ("--port", "8081 ", "a number from 0"),
            ("-c", "-1", "a number from 0 to"),
            ("-c", "99999999999", "a number from 0 to 2147483647"),
            ("-c", "4k", "a number from 0"),
            ("-ngl", "some", "auto, all, a number from -1"),
            ("-m", "", "something"),
            ("-r", "", "the text to stop at"),
            ("--alias", " ,", "a name"),
            ("-fa", "maybe", "on, off or auto"),
            ("-ctk", "q3", "one of f32, f16"),
        ):
            line = self.refusal("-m", "a", name, text)
            self.assertIn(f"{name} {text!r} will not do; write {remedy}", line)

    def test_no_request_at_a_time(self) -> None:
        """
        With no slot nothing would ever be answered.
        """
        self.assertIn("--parallel 0", self.refusal("-m", "a", "-np", "0"))
