"""
The program `llm`, as it is typed.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests import client_rig as rig

_MODEL = """
- model_id: {name}
  model_name: {name}
  api_base: {url}/v1
  supports_tools: true
"""
# What is run when the tool is called.
_FUNCTION = f'''
def weather(city: str) -> str:
    """{rig.FUNCTION["description"]}"""
    return "sunny"
'''


class LLMAsker(rig.Asker):
    """
    `llm`; the embeddings that it knows are those of services.
    """

    embeds = False
    answers_calls = True

    def run(self, model: str, *options: str) -> subprocess.CompletedProcess[str]:
        with TemporaryDirectory(prefix="llm-") as folder:
            text = "".join(_MODEL.format(name=n, url=self.url) for n in rig.MODELS)
            Path(folder, "extra-openai-models.yaml").write_text(text)
            return subprocess.run(
                [sys.executable, "-m", "llm", "prompt", "-m", model, *options],
                env={**os.environ, "LLM_USER_PATH": folder, "OPENAI_API_KEY": "none"},
                input=rig.QUESTION,
                capture_output=True,
                text=True,
                check=False,
            )

    def see(self, what: str, model: str) -> rig.Seen:
        if what == "call":
            return super().see(what, model)
        run = self.run(model, *(["--no-stream"] if what == "chat" else ()))
        return rig.Seen(run.stdout.rstrip(), run.stderr)

    def call(self, model: str) -> tuple[str, Any]:
        run = self.run(model, "--functions", _FUNCTION, "--td", "--no-stream")
        assert run.stdout.rstrip() == rig.WHOLE, run
        [name, city] = re.findall(
            r"Tool call: (\w+)\(\{'city': '(\w+)'\}\)", run.stderr
        )[0]
        return name, {"city": city}


class LLMTests(rig.ClientTests):
    """
    `llm`.
    """

    asker = LLMAsker
