"""
Conversations in a real browser: found, named, deleted, taken out and in, and kept.
"""

import json
from base64 import b64decode
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.browser.chat_rig import PNG, ChatCase
from tests.browser.rig import wish


class ConversationTests(ChatCase):
    """
    Several of them, with answers of a stand-in.
    """

    def setUp(self) -> None:
        super().setUp()
        self.start(a=wish(text="The *answer* is 42.", reasoning="Hm."))
        self.page = self.chat()

    def talk(self, *texts: str) -> None:
        """
        A conversation for each.
        """
        for text in texts:
            self.page.get_by_role("button", name="New conversation").click()
            self.say(self.page, text)
            self.until_over(self.page)

    def listed(self) -> Locator:
        return self.page.locator(".conversation-title")

    def choose(self, title: str, what: str) -> None:
        """
        An entry of a conversation's menu.
        """
        self.page.get_by_label(f"More about {title}").focus()
        self.page.keyboard.press("Enter")
        self.page.get_by_role("menuitem", name=what).click()

    def file_of(self, title: str, what: str) -> tuple[str, Path]:
        with self.page.expect_download() as download:
            self.choose(title, what)
        path = self.folder / download.value.suggested_filename
        download.value.save_as(path)
        return download.value.suggested_filename, path

    def test_found_by_what_was_said(self) -> None:
        """
        In its title, in a message, in an answer; the latest is the first.
        """
        self.talk("about cats\nand milk", "about dogs")
        expect(self.listed()).to_have_text(["about dogs", "about cats"])
        search = self.page.get_by_label("Find a conversation")
        for text, found in (
            ("DOGS", ["about dogs"]),
            ("milk", ["about cats"]),
            ("answer* is 42", ["about dogs", "about cats"]),
            ("birds", []),
        ):
            search.fill(text)
            expect(self.listed()).to_have_text(found)
        self.page.get_by_text("Nothing found.").wait_for()
        search.press("Escape")
        expect(self.listed()).to_have_count(2)
        self.page.keyboard.press("Control+k")
        self.page.keyboard.type("cats")
        expect(self.listed()).to_have_count(1)
        self.page.keyboard.press("Enter")
        expect(self.page.locator(".said")).to_have_text("about cats\nand milk")

    def test_renamed(self) -> None:
        """
        The name stays, whatever is said afterwards.
        """
        self.talk("one")
        self.choose("one", "Rename")
        self.page.get_by_label("Name", exact=True).fill("My own")
        self.page.get_by_role("button", name="Rename").click()
        expect(self.listed()).to_have_text(["My own"])
        self.say(self.page, "two")
        self.until_over(self.page, 2)
        self.page.reload()
        expect(self.listed()).to_have_text(["My own"])
        expect(self.page).to_have_title("My own")

    def test_deleted_and_taken_back(self) -> None:
        """
        It goes with all that is in it, and comes back so.
        """
        self.talk("one", "two")
        self.choose("two", "Delete")
        expect(self.listed()).to_have_text(["one"])
        expect(self.page.locator(".said")).to_have_count(0)
        self.assertEqual(len(self.saved(self.page)), 1)
        self.page.get_by_role("button", name="Undo").click()
        expect(self.listed()).to_have_text(["two", "one"])
        expect(self.page.locator(".said")).to_have_text("two")
        self.page.reload()
        expect(self.page.locator(".said")).to_have_text("two")
        expect(self.page.locator(".markdown")).to_have_text("The answer is 42.")

    def test_deleted_wholly(self) -> None:
        """
        Nothing of what was said is left anywhere in this browser.
        """
        self.talk("a secret")
        self.page.reload()
        self.ready(self.page)
        self.choose("a secret", "Delete")
        expect(self.listed()).to_have_count(0)
        self.assertEqual(self.saved(self.page), [])
        kept = self.page.evaluate("() => JSON.stringify({ ...localStorage })")
        self.assertNotIn("swapgate.partial", kept)
        self.assertNotIn("secret", kept)

    def test_two_tabs(self) -> None:
        """
        What is said in one is seen in the other, when that is looked at again.
        """
        self.talk("first")
        other = self.page.context.new_page()
        other.goto(self.page.url)
        self.ready(other)
        self.say(other, "second")
        self.until_over(other, 2)
        self.page.get_by_role("button", name="New conversation").click()
        seen = "() => document.dispatchEvent(new Event('visibilitychange'))"
        self.page.evaluate(seen)
        self.page.locator(".conversation").get_by_text("first").click()
        expect(self.page.locator(".said")).to_have_text(["first", "second"])

    def test_no_room(self) -> None:
        """
        What this browser cannot keep is not sent, and stays where it was written.
        """
        self.page.evaluate(
            """() => {
              IDBObjectStore.prototype.put = function () {
                this.transaction.abort();
              };
            }"""
        )
        self.say(self.page, "much")
        self.page.get_by_text("This browser has no room").wait_for()
        expect(self.message(self.page)).to_have_value("much")
        expect(self.page.locator(".said")).to_have_count(0)
        self.assertEqual(self.asked, [])

    def test_out_and_in_again(self) -> None:
        """
        As JSON, with its files; a browser that has it already has it twice then.
        """
        pixel = self.folder / "pixel.png"
        pixel.write_bytes(b64decode(PNG))
        chooser = self.page.locator("input[type=file][aria-label=Files]")
        chooser.set_input_files(pixel)
        self.page.get_by_label("Remove pixel.png").wait_for()
        self.talk_here("look: <b>")
        name, path = self.file_of("look: <b>", "Export as JSON")
        self.assertEqual(name, "look_ _b_.json")
        [written] = json.loads(path.read_text("utf-8"))["conversations"]
        [answer] = written["turns"][0]["answers"]
        self.assertEqual(
            (answer["text"], answer["reasoning"]), ("The *answer* is 42.", "Hm.")
        )
        other = self.chat()
        other.get_by_label("Conversations to import").set_input_files(path)
        other.get_by_text("1 conversation is imported.").wait_for()
        expect(other.locator(".said")).to_have_text("look: <b>")
        expect(other.locator(".markdown")).to_have_text("The answer is 42.")
        other.get_by_role("img", name="pixel.png").wait_for()
        self.say(other, "and?")
        self.until_over(other, 2)
        content = self.asked[-1]["messages"][0]["content"]
        self.assertTrue(content[0]["image_url"]["url"].endswith(PNG))
        other.get_by_label("Conversations to import").set_input_files(path)
        expect(other.locator(".conversation-title")).to_have_count(2)

    def talk_here(self, text: str) -> None:
        self.say(self.page, text)
        self.until_over(self.page)

    def test_as_markdown(self) -> None:
        """
        For people.
        """
        self.talk_here("one?")
        name, path = self.file_of("one?", "Export as Markdown")
        self.assertEqual(name, "one_.md")
        text = "# one?\n\n## You\n\none?\n\n## a\n\nThe *answer* is 42.\n"
        self.assertEqual(path.read_text("utf-8"), text)

    def test_files_that_are_none(self) -> None:
        """
        They are refused in words, or what is wrong in them is left out.
        """
        inside = {"title": 7, "turns": [None, {"answers": [{"state": "x"}]}]}
        for text, said in (
            ("{", "This file is no JSON."),
            ("{}", "This file holds no conversations"),
            (
                '{"format": "swapgate-chat", "version": 2, "conversations": []}',
                "version",
            ),
            (
                json.dumps(
                    {"format": "swapgate-chat", "version": 1, "conversations": [inside]}
                ),
                "1 conversation is imported.",
            ),
        ):
            file = self.folder / "in.json"
            file.write_text(text)
            self.page.get_by_label("Conversations to import").set_input_files(file)
            self.page.locator("#toast").get_by_text(said).wait_for()
        expect(self.listed()).to_have_text(["Imported"])

    def test_hostile_files(self) -> None:
        """
        What a file names is neither fetched nor sent on to an engine that would fetch
        it, and no name in it is taken for one of the page's own.
        """
        names = (
            "http://127.0.0.1:1/x.png",
            "file:///etc/hosts",
            f"data:image/png;base64,{PNG}",
        )
        images = {f"f{n}": address for n, address in enumerate(names)}
        files = [{"id": key, "name": "<b>", "kind": "image"} for key in images]
        error = {"code": "constructor", "message": "it broke"}
        answer = {"id": "x", "model": "a", "text": "<b>", "state": "failed"}
        turn = {
            "user": {"text": "look", "files": files},
            "answers": [{**answer, "error": error}],
            "chosen": "x",
        }
        inside = {"title": "in", "files": images, "turns": [turn], "updated": 1e300}
        whole = {
            "format": "swapgate-chat",
            "version": 1,
            "conversations": [inside, None],
        }
        file = self.folder / "in.json"
        file.write_text(json.dumps(whole))
        self.page.get_by_label("Conversations to import").set_input_files(file)
        self.page.get_by_text("1 conversation is imported.").wait_for()
        self.page.get_by_text("The answer failed.").wait_for()
        self.say(self.page, "and?")
        self.until_over(self.page, 2)
        content = self.asked[-1]["messages"][0]["content"]
        urls = [part["image_url"]["url"] for part in content if "image_url" in part]
        self.assertEqual(urls, [names[-1]])

    def test_an_answer_goes_on_elsewhere(self) -> None:
        """
        While another one is looked at; back and forth by the browser's buttons.
        """
        self.talk_here("first")
        self.page.get_by_role("button", name="New conversation").click()
        self.say(self.page, "second")
        self.page.get_by_role("button", name="New conversation").click()
        expect(self.listed()).to_have_text(["second", "first"])
        expect(self.page.locator(".turn")).to_have_count(0)
        self.page.go_back()
        expect(self.page.locator(".said")).to_have_text("second")
        expect(self.page.locator(".markdown")).to_have_text("The answer is 42.")
        self.page.go_back()
        expect(self.page.locator(".said")).to_have_text("first")


class ChoiceTests(ChatCase):
    """
    Which model is asked.
    """

    def test_the_last_choice(self) -> None:
        """
        The model that was chosen last is chosen again; the address goes before it, by
        an alias too, as a bookmark has it.
        """
        self.start(a="", b="", phi="\naliases = Phi 4")
        page: Page = self.chat()
        name = page.locator(".picker-name")
        expect(name).to_have_text("a")
        self.pick(page, "b")
        for path, model in (("/", "b"), ("/?model=Phi%204", "phi"), ("/", "b")):
            page.goto(self.url + path)
            expect(name).to_have_text(model)
