"""
Requests that name no model, and one entry of the list of models, over real sockets.
"""

from typing import cast
from urllib.parse import quote

from openai import NotFoundError, OpenAI
from twisted.internet.threads import deferToThread
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher

from tests.browsers import BRAVE, CHROME, SAFARI
from tests.rig import Answer, RigCase

CHAT = "/v1/chat/completions"
ROUTES = r"""
[route brave]
header = Sec-CH-UA
match = "Brave"
model = a

[route chrome]
header = Sec-CH-UA
match = "Google Chrome"
model = the second

[route safari]
header = User-Agent
match = Version/[0-9.]+ Safari/
model = c
"""


class RoutesCase(RigCase):
    """
    Three models, one for each browser.
    """

    extra = {"b": "aliases = the second, org/model"}
    routes = ROUTES

    def text(self, **models: str) -> str:
        return super().text(**models) + self.routes


class BrowserTests(RoutesCase):
    """
    Each browser has a model.
    """

    async def test_each_has_its_own(self) -> None:
        """
        Without a model's name and with `auto`; the daemon gets the bytes that came, and
        the log has the model that was chosen.
        """
        logged: list[LogEvent] = []
        observer = cast(ILogObserver, logged.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        await self.start()
        asked = 0
        for browser, model in ((BRAVE, "a"), (CHROME, "b"), (SAFARI, "c")):
            headers = {k.replace("-", "_"): v for k, v in browser.items()}
            for body in (b'{"x":  1}', b'{"model": "auto"}', b'{"model":null}'):
                answer = await self.ask(CHAT, body, **headers)
                self.assertEqual(answer.status, 200, answer.body)
                asked += 1
                await self.until_told("finished", count=asked)
                self.assertEqual(self.told("finished")[-1]["name"], model)
        sent = [entry["model"] for entry in self.told("finished")]
        self.assertEqual(sent, [None, "auto", None] * 3)
        chosen = [e["model"] for e in logged if e.get("status") == 200]
        self.assertEqual(chosen, [*"aaabbbccc"])
        # Who names a model gets it, whatever the browser.
        answer = await self.ask(CHAT, {"model": "c"}, Sec_CH_UA=BRAVE["Sec-CH-UA"])
        self.assertEqual(answer.status, 200)
        self.assertEqual(self.told("finished")[-1]["name"], "c")

    async def test_nobody_elses(self) -> None:
        """
        400 without a default, which names what would be right and loads nothing.
        """
        await self.start()
        for body in ({}, {"model": "auto"}):
            answer = await self.ask("/infill", body)
            self.assertEqual(answer.status, 400)
            self.assertIn('"the second"', answer.error["message"])
            self.assertIn("no [route NAME] matches", answer.error["message"])
        self.assertEqual(self.told(), [])

    async def test_the_default(self) -> None:
        """
        Everybody else's, as llama.vim's, which posts /infill without a model.
        """
        self.general = "default_model = org/model"
        await self.start()
        body = {"input_prefix": "a", "input_suffix": "b", "stream": False}
        answer = await self.ask("/infill", body)
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual((await self.until_told("finished"))["name"], "b")


class EntryTests(RoutesCase):
    """
    GET /v1/models/NAME.
    """

    async def test_each(self) -> None:
        """
        The entry of the list, in each of its forms; HEAD too.
        """
        await self.start()
        listed = (await self.ask("/v1/models")).json["data"]
        self.assertEqual(
            [entry["id"] for entry in listed],
            ["a", "b", "c", "the second", "org/model", "auto"],
        )
        for entry in listed:
            for prefix in ("/v1/models/", "/models/", "/v1/v1/models/"):
                for path in {quote(entry["id"]), quote(entry["id"], safe="")}:
                    answer = await self.ask(f"{prefix}{path}?x=%")
                    self.assertEqual((answer.status, answer.json), (200, entry))
                    head = await self.ask(prefix + path, method="HEAD")
                    length = str(len(answer.body))
                    self.assertEqual(head.status, 200)
                    self.assertEqual(head.headers["content-length"], length)
        self.assertEqual((await self.ask("/v1/models/a/")).status, 200)
        self.assertEqual(self.told(), [])

    async def test_unknown(self) -> None:
        """
        404 with its name, in OpenAI's shape, whatever it looks like.
        """
        await self.start()
        for path, name in (
            ("no%20model", "no model"),
            ("org%2Fother", "org/other"),
            ("../slots", "../slots"),
            ("A", "A"),
        ):
            answer = await self.ask(f"/v1/models/{path}")
            self.assertEqual(answer.status, 404)
            self.assertEqual(answer.error["code"], "model_not_found")
            self.assertIn(f'no model "{name}" is here', answer.error["message"])
        for method, status in (("POST", 403), ("DELETE", 404)):
            answer = await self.ask("/v1/models/a", {"model": "a"}, method=method)
            self.assertEqual(answer.status, status)

    async def test_openai(self) -> None:
        """
        The official client escapes names itself.
        """
        await self.start()

        def use() -> list[str]:
            base = f"http://127.0.0.1:{self.port}/v1"
            with OpenAI(base_url=base, api_key="none") as client:
                names = [m.id for m in client.models.list()]
                found = [client.models.retrieve(name).id for name in names]
                self.assertEqual(found, names)
                with self.assertRaises(NotFoundError) as raised:
                    client.models.retrieve("org/other")
                return [str(raised.exception.code)]

        self.assertEqual(await deferToThread(use), ["model_not_found"])


class AppTests(RoutesCase):
    """
    Desktop apps, and containers.
    """

    async def asked(self, **headers: str) -> Answer:
        return await self.ask("/v1/models", Sec_Fetch_Site="cross-site", **headers)

    async def test_apps(self) -> None:
        """
        Those that are listed may ask and read; pages and others may not.
        """
        self.general = (
            "origins = app://obsidian.md, tauri://localhost, vscode-webview://*"
        )
        await self.start()
        for origin in ("app://obsidian.md", "tauri://localhost", "vscode-webview://1a"):
            answer = await self.asked(Origin=origin)
            self.assertEqual(answer.status, 200)
            self.assertEqual(answer.headers["access-control-allow-origin"], origin)
        for origin in ("app://other", "https://obsidian.md", "null"):
            answer = await self.asked(Origin=origin)
            self.assertEqual(answer.status, 403)
            self.assertNotIn("access-control-allow-origin", answer.headers)

    async def test_a_container(self) -> None:
        """
        By Docker's name for the machine that it runs on.
        """
        self.general = "hosts = host.docker.internal"
        await self.start()
        host = f"host.docker.internal:{self.port}"
        self.assertEqual((await self.ask("/v1/models", Host=host)).status, 200)
        answer = await self.ask(CHAT, {"model": "a"}, Host=host)
        self.assertEqual(answer.status, 200)


class KeyTests(RoutesCase):
    """
    Where keys are configured.
    """

    async def test_one_rule_for_the_list(self) -> None:
        """
        It and its entries are free together, in whichever form they come, or not.
        """
        keys = self.journal.with_suffix(".keys")
        keys.write_text("laptop: sk-right-0123456789")
        keys.chmod(0o600)
        paths = (
            "/v1/models",
            "/v1/models/",
            "/v1/v1/models",
            "/models",
            "/v1/models/a",
        )
        for need, status in (("no", 200), ("yes", 401)):
            self.general = f"api_keys = file:{keys}\nmodels_need_key = {need}"
            await self.start()
            for path in paths:
                self.assertEqual((await self.ask(path)).status, status, path)
            await self.stop()
