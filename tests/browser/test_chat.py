"""
The chat in a real browser: a question, its wait, its answer, and what can go wrong.
"""

import re

from playwright.sync_api import FilePayload, Route, expect

from tests.browser.chat_rig import PNG, ChatCase
from tests.browser.rig import wish
from tests.browser.test_markdown import UNSAFE

# Ten a second.
SLOW = wish(
    text="one two three four five six seven " * 20, token_bytes=5, interval_s=0.1
)


class AnswerTests(ChatCase):
    """
    From a message to its answer.
    """

    def test_first_message_to_a_sleeping_model(self) -> None:
        """
        Its state, its progress, its tokens as they come, and what it took.
        """
        text = "Hello, *you*. " * 20
        slow = wish(text=text, token_bytes=4, interval_s=0.02, reasoning="Who? " * 3)
        self.start(a=f"--load-time 2 {slow}", b="")
        page = self.chat("/?model=a")
        self.assertIn("sleeping", page.locator("#picker").inner_text())
        self.say(page, "Hi there")
        page.get_by_text("Loading a, 1 s").wait_for()
        expect(page.locator("#picker .dot")).to_have_attribute("data-phase", "starting")
        # Its end is not known: it was never loaded before.
        bar = page.get_by_role("progressbar")
        self.assertIsNone(bar.get_attribute("value"))
        answer = page.locator("section.answer")
        answer.locator("em").first.wait_for()
        lengths = set()
        while answer.get_attribute("aria-busy") == "true":
            lengths.add(len(answer.locator(".markdown").inner_text()))
        self.assertGreater(len(lengths), 3)
        self.assertEqual(self.said(page), ("Hello, you. " * 20).strip())
        self.assertEqual(
            self.asked[0]["messages"], [{"role": "user", "content": "Hi there"}]
        )
        # Reasoning is folded.
        thought = answer.locator("details.thinking")
        self.assertEqual(thought.locator("summary").inner_text(), "Thought for 1 s")
        self.assertFalse(page.get_by_text("Who? Who?").is_visible())
        thought.locator("summary").click()
        page.get_by_text("Who? Who?").wait_for()
        stats = answer.locator(".stats").inner_text()
        for part in (
            r"\d+\.\d tokens/s",
            "74 tokens",
            r"prompt \d+, \d+ % known",
            r"loaded \d+\.\d s",
            "first token",
        ):
            self.assertRegex(stats, part)
        self.check_page(page)

    def test_a_real_progress(self) -> None:
        """
        A model that was loaded before tells how far it is, and who is ahead.
        """
        self.general = "keepalive = 1 s\nlinger = 0"
        self.start(a="--load-time 2", b="--load-time 2", c="")
        page = self.chat("/?model=a")
        self.say(page, "one")
        self.until_over(page)
        self.pick(page, "b")
        self.say(page, "two")
        self.until_over(page, 2)
        self.pick(page, "a")
        self.say(page, "three")
        page.get_by_text(re.compile(r"\d s of about \d s")).wait_for()
        page.wait_for_function(
            "() => document.querySelector('progress[value]')?.value > 0.3"
        )
        self.until_over(page, 3)
        # It was told of its wait, so its headers could not say how long that was.
        self.assertIn("loaded 2.", self.answer(page).locator(".stats").inner_text())

    def test_ahead_of_you(self) -> None:
        """
        Another browser's question for another model comes first.
        """
        self.general = "fair_wait = 2 s"
        self.start(a=f"--load-time 1 {SLOW}", b="--load-time 3", c="")
        first = self.chat("/?model=a")
        self.say(first, "one")
        first.locator("section.answer .markdown p").wait_for()
        second = self.chat("/?model=b")
        self.say(second, "two")
        second.get_by_text("Waiting for a, which answers").wait_for()
        second.get_by_text("Waiting for an answer of a to end").wait_for()
        third = self.chat("/?model=c")
        self.say(third, "three")
        third.get_by_text("1 ahead of you").wait_for()
        first.get_by_role("button", name="Stop").click()
        self.until_over(first)
        self.until_over(second)
        self.until_over(third)

    def test_stop(self) -> None:
        """
        The engine stops; what came stays, and can go on.
        """
        self.start(a=SLOW)
        page = self.chat()
        self.say(page, "count")
        page.get_by_text("one two").wait_for()
        page.keyboard.press("Escape")
        self.until(page, lambda: bool(self.told("client_gone", "a")))
        self.until_over(page)
        page.locator(".note").get_by_text("Stopped.").wait_for()
        partial = self.saved(page)[0]["answers"][0]["text"]
        self.assertTrue(partial.startswith("one two"))
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="Stop").wait_for()
        page.wait_for_function(
            "() => document.body.innerText.match(/one two/g).length > 1"
        )
        last = self.asked[-1]["messages"][-1]
        self.assertEqual(last, {"role": "assistant", "content": partial})
        page.get_by_role("button", name="Stop").click()
        self.until_over(page)
        self.assertTrue(self.said(page).startswith(partial.strip()))

    def test_going_on_after_a_thought(self) -> None:
        """
        The engine is told that the thinking is over: some refuse to go on else.
        """
        self.start(
            a=wish(
                text="one two three " * 20,
                reasoning="Hm. " * 4,
                token_bytes=5,
                interval_s=0.1,
            )
        )
        page = self.chat()
        self.say(page, "count")
        page.get_by_text("one two").wait_for()
        page.keyboard.press("Escape")
        self.until_over(page)
        self.assertNotIn("chat_template_kwargs", self.asked[0])
        page.get_by_role("button", name="Continue").click()
        self.until(page, lambda: len(self.asked) == 2)
        told = self.asked[1]["chat_template_kwargs"]
        self.assertEqual(told, {"enable_thinking": False})

    def test_stop_while_it_waits(self) -> None:
        """
        The load is given up.
        """
        self.start(a="--never-healthy")
        page = self.chat()
        self.say(page, "count")
        page.get_by_text("Loading a").wait_for()
        page.get_by_role("button", name="Stop").click()
        self.until_over(page)
        page.get_by_role("button", name="Try again").wait_for()

    def test_two_models_side_by_side(self) -> None:
        """
        The other model's answer beside the first; the conversation goes on from one.
        """
        self.start(a=wish(text="From a."), b=wish(text="From b."))
        page = self.chat("/?model=a")
        self.say(page, "who?")
        self.until_over(page)
        page.get_by_label("Answer again").click()
        page.get_by_role("menuitem", name="b").click()
        self.until_over(page, 2)
        self.assertEqual(
            [self.said(page, 0), self.said(page, 1)], ["From a.", "From b."]
        )
        left, right = (self.answer(page, at).bounding_box() for at in (0, 1))
        assert left is not None
        assert right is not None
        self.assertEqual(left["y"], right["y"])
        self.assertLess(left["x"], right["x"])
        page.get_by_role("button", name="Use this one").click()
        expect(self.answer(page, 0).locator(".choice")).to_have_text(
            "Used from here on"
        )
        self.say(page, "and?")
        self.until_over(page, 3)
        said = [message["content"] for message in self.asked[-1]["messages"]]
        self.assertEqual(said, ["who?", "From a.", "and?"])

    def test_beside_a_long_answer(self) -> None:
        """
        Asked for at its end, the other one is seen from its beginning.
        """
        text = "A long line of it.\n\n" * 100
        self.start(a=wish(text=text, token_bytes=500), b=wish(text="Short."))
        page = self.chat()
        self.say(page, "who?")
        self.until_over(page)
        again = page.get_by_label("Answer again")
        expect(again).to_be_in_viewport()
        again.click()
        page.get_by_role("menuitem", name="b").click()
        expect(page.locator(".answer-head").last).to_be_in_viewport()
        self.until_over(page, 2)
        expect(page.get_by_text("Short.")).to_be_in_viewport()
        page.get_by_label("To the end").wait_for()

    def test_edit_and_resend(self) -> None:
        """
        What followed is replaced, and can be taken back.
        """
        self.start(a=wish(text="Yes."))
        page = self.chat()
        for count, text in enumerate(("one", "two", "three"), 1):
            self.say(page, text)
            self.until_over(page, count)
        page.get_by_label("Edit message").nth(1).click()
        page.get_by_label("Edit your message").fill("deux")
        page.get_by_label("Edit your message").press("Enter")
        self.until_over(page, 2)
        said = [message["content"] for message in self.asked[-1]["messages"]]
        self.assertEqual(said, ["one", "Yes.", "deux"])
        self.assertEqual(page.locator(".said").all_text_contents(), ["one", "deux"])
        page.get_by_role("button", name="Undo").click()
        self.until_over(page, 3)
        self.assertEqual(
            page.locator(".said").all_text_contents(), ["one", "two", "three"]
        )
        page.reload()
        self.until_over(page, 3)
        self.assertEqual(
            page.locator(".said").all_text_contents(), ["one", "two", "three"]
        )

    def test_resend_in_the_middle(self) -> None:
        """
        What it stops is gone for good; taken back, it can be gone on with.
        """
        self.start(a=wish(tokens=2000, interval_s=0.05))
        page = self.chat()
        said = page.locator(".said")
        for text in ("one", "two"):
            self.say(page, text)
            page.locator("article").last.locator(".markdown p").wait_for()
            if text == "one":
                page.keyboard.press("Escape")
                self.until_over(page)
        page.get_by_label("Edit message").first.click()
        page.get_by_label("Edit your message").fill("three")
        page.get_by_label("Edit your message").press("Enter")
        expect(said).to_have_text(["three"])
        page.locator(".markdown p").wait_for()
        [kept] = self.saved(page)
        self.assertEqual(kept["user"]["text"], "three")
        page.get_by_role("button", name="Undo").click()
        expect(said).to_have_text(["one", "two"])
        self.until_over(page, 2)
        expect(page.get_by_role("button", name="Continue")).to_have_count(2)

    def test_code_is_copied(self) -> None:
        """
        As it was written, without what highlighting adds.
        """
        code = "if a < b:\n\tprint('<b>')  # é"
        self.start(a=wish(text=f"So:\n\n```python\n{code}\n```\n", token_bytes=3))
        page = self.chat(permissions=["clipboard-read", "clipboard-write"])
        self.say(page, "code")
        self.until_over(page)
        page.get_by_role("button", name="Copy", exact=True).click()
        page.get_by_text("Copied").wait_for()
        self.assertEqual(page.evaluate("() => navigator.clipboard.readText()"), code)

    def test_settings(self) -> None:
        """
        A conversation's system prompt and sampling go with its requests.
        """
        self.start(a="")
        page = self.chat()
        page.get_by_label("Settings of this conversation").click()
        page.get_by_label("System prompt").fill("Be brief.")
        page.get_by_label("Temperature").fill("0.5")
        page.get_by_label("Seed").fill("7")
        page.get_by_role("button", name="Save").click()
        self.say(page, "hi")
        self.until_over(page)
        [asked] = self.asked
        self.assertEqual(
            asked["messages"][0], {"role": "system", "content": "Be brief."}
        )
        self.assertEqual((asked["temperature"], asked["seed"]), (0.5, 7))
        self.assertNotIn("top_p", asked)

    def test_reload_in_the_middle(self) -> None:
        """
        Nothing that was shown is lost, and the answer goes on from there.
        """
        self.start(a=SLOW)
        page = self.chat()
        self.say(page, "count")
        page.get_by_text("one two three four five").wait_for()
        self.message(page).fill("a draft")
        shown = page.locator("section.answer .markdown").inner_text()
        page.reload()
        page.locator("section.answer .markdown").wait_for()
        self.until(page, lambda: len(self.asked) == 2)
        last = self.asked[-1]["messages"][-1]
        self.assertEqual(last["role"], "assistant")
        self.assertTrue(last["content"].strip().startswith(shown.strip()))
        expect(self.message(page)).to_have_value("a draft")
        page.wait_for_function(
            "(least) => document.querySelector('.markdown').innerText.length > least",
            arg=len(last["content"]) + 20,
        )
        page.get_by_role("button", name="Stop").click()
        self.until_over(page)
        self.assertTrue(self.said(page).startswith(shown.strip()))

    def test_a_tab_that_is_duplicated(self) -> None:
        """
        It shows what came, and asks for no answer that is on its way already.
        """
        self.start(a=SLOW)
        page = self.chat()
        self.say(page, "count")
        page.get_by_text("one two three four five").wait_for()
        with page.expect_popup() as opened:
            page.evaluate("() => { window.open(location.href); }")
        other = opened.value
        other.get_by_text("one two three four five").wait_for()
        other.get_by_role("button", name="Continue").wait_for()
        self.assertEqual(len(self.asked), 1)
        page.get_by_role("button", name="Stop").click()
        self.until_over(page)

    def test_a_page_that_was_closed(self) -> None:
        """
        Another page shows what came, says why it ended, and does not go on by itself.
        """
        self.start(a=SLOW)
        page = self.chat()
        self.say(page, "count")
        page.get_by_text("one two three four five").wait_for()
        url = page.url
        page.close(run_before_unload=True)
        other = page.context.new_page()
        other.goto(url)
        other.get_by_text("one two three four five").wait_for()
        other.get_by_text("Its page was closed before").wait_for()
        other.get_by_role("button", name="Continue").wait_for()
        self.assertEqual(len(self.asked), 1)


class TroubleTests(ChatCase):
    """
    What goes wrong is said in words, and what came is kept.
    """

    expected = ("status of 4", "status of 5", "ERR_")

    def test_a_load_that_fails(self) -> None:
        """
        With the daemon's last words; another model answers.
        """
        self.start(
            bad="--never-healthy --exit-after 0.3 --last-words 'no file: bad.gguf'",
            good=wish(text="Fine."),
        )
        page = self.chat("/?model=bad")
        self.say(page, "hi")
        page.get_by_text("bad could not be loaded.").wait_for()
        page.get_by_text("Details", exact=True).click()
        page.get_by_text("no file: bad.gguf").wait_for()
        page.get_by_label("Answer again").click()
        page.get_by_role("menuitem", name="good").click()
        self.until_over(page, 2)
        self.assertEqual(self.said(page, 1), "Fine.")
        # What fails again is not what the conversation goes on from.
        page.get_by_label("Answer again").last.click()
        page.get_by_role("menuitem", name="bad").click()
        self.until_over(page, 3)
        expect(self.answer(page, 1).locator(".choice")).to_have_text(
            "Used from here on"
        )

    def test_a_daemon_that_dies(self) -> None:
        """
        In the middle of an answer.
        """
        told = {"text": "one two three four", "interval_s": 0.3}
        self.start(a=wish(**told, after=3, then="die"))
        page = self.chat()
        self.say(page, "count")
        # A browser may drop the last words of a connection that is cut.
        lost = "a broke off.|The connection was lost in the middle"
        page.get_by_text(re.compile(lost)).wait_for()
        self.assertTrue(self.said(page).startswith("one two"))
        kept = self.saved(page)[0]["answers"][0]["text"]
        self.assertTrue(kept.startswith("one two"), kept)
        page.get_by_role("button", name="Continue").wait_for()

    def test_the_gateway_is_away(self) -> None:
        """
        Then it is back, and so are the states.
        """
        self.start(a=wish(text="Here."))
        page = self.chat()
        self.gateway.stop()
        page.get_by_text("Reconnecting").wait_for()
        self.say(page, "hi")
        page.get_by_text("The gateway cannot be reached.").wait_for()
        self.restart()
        page.get_by_text("Reconnecting").wait_for(state="hidden")
        page.get_by_role("button", name="Try again").click()
        page.get_by_text("Here.", exact=True).wait_for()
        self.until_over(page)

    def test_without_events(self) -> None:
        """
        The models are there, and answer; a wait is told in the stream's own words.
        """
        self.general = "keepalive = 300 ms"
        self.start(a=f"--load-time 2 {wish(text='Here.')}")

        def refuse(route: Route) -> None:
            route.abort()

        context = self.context()
        context.route("**/swapgate/**", refuse)
        page = context.new_page()
        page.goto(self.url)
        page.locator("#picker").get_by_text("a", exact=True).wait_for()
        self.say(page, "hi")
        page.get_by_text("Loading a, ").wait_for()
        self.until_over(page)
        self.assertEqual(self.said(page), "Here.")

    def test_notices_are_no_reasoning(self) -> None:
        """
        `notice = reasoning` is for other pages.
        """
        self.general = "keepalive = 300 ms\nnotice = reasoning"
        self.start(a=f"--load-time 2 {wish(text='Here.')}")
        page = self.chat()
        self.say(page, "hi")
        self.until_over(page)
        self.assertEqual(self.said(page), "Here.")
        self.assertFalse(page.locator("details.thinking").is_visible())

    def test_reasoning_in_the_text(self) -> None:
        """
        Between <think> and </think>, as some engines leave it.
        """
        self.start(a=wish(text="<think>\nHm.\n</think>\n\nSo.", token_bytes=3))
        page = self.chat()
        self.say(page, "hi")
        self.until_over(page)
        self.assertEqual(self.said(page), "So.")
        self.assertEqual(self.saved(page)[0]["answers"][0]["reasoning"].strip(), "Hm.")


class HostileTests(ChatCase):
    """
    A model that says what its makers, or a page that it has read, would like to run.
    """

    def test_inert(self) -> None:
        """
        Nothing runs, nothing is loaded, no page is left; the policy forbids nothing,
        as nothing was tried.
        """
        text = self.folder / "text"
        text.write_text("\n\n".join(UNSAFE), "utf-8")
        self.start(a=wish(text_file=str(text), token_bytes=7))
        page = self.chat()
        page.on("dialog", lambda _: self.complaints.append("a dialog"))
        page.on("popup", lambda _: self.complaints.append("a popup"))
        self.say(page, "go")
        self.until_over(page)
        url = page.url
        for link in page.locator(".markdown .no-link, .markdown p").all():
            link.click(force=True, position={"x": 1, "y": 1})
        self.assertEqual(page.url, url)
        acts = page.locator(".markdown :is(script, img, iframe, style)")
        self.assertEqual(acts.count(), 0)
        self.check_page(page)

    def test_a_megabyte(self) -> None:
        """
        Of nesting: the answer ends, and all of it is kept.
        """
        text = self.folder / "text"
        text.touch()
        self.start(a=wish(text_file=str(text), token_bytes=50_000))
        page = self.chat()
        said = []
        for piece in ("> ", "[a](", "- a\n  ", "*a **b "):
            said.append(piece * (1_000_000 // len(piece)))
            text.write_text(said[-1], "utf-8")
            page.get_by_role("button", name="New conversation").click()
            self.say(page, "go")
            self.until_over(page)
        kept = [turn["answers"][0]["text"] for turn in self.saved(page)]
        self.assertEqual(sorted(kept), sorted(said))


class FileTests(ChatCase):
    """
    Images and texts that go with a message.
    """

    expected = ("status of 400",)

    def test_text_and_image(self) -> None:
        """
        By choice and by paste; they are there after a reload.
        """
        self.start(a="")
        page = self.chat()
        with page.expect_file_chooser() as chooser:
            page.get_by_label("Attach images or text files").click()
        notes = FilePayload(name="notes.txt", mimeType="text/plain", buffer=b"a ``` b")
        chooser.value.set_files(notes)
        page.evaluate(
            """(data) => {
              const bytes = Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
              const clipboardData = new DataTransfer();
              const file = new File([bytes], "pixel.png", { type: "image/png" });
              clipboardData.items.add(file);
              const how = { clipboardData, bubbles: true, cancelable: true };
              const message = document.getElementById("message");
              message.dispatchEvent(new ClipboardEvent("paste", how));
            }""",
            PNG,
        )
        page.get_by_label("Remove pixel.png").wait_for()
        self.say(page, "what is it?")
        self.until_over(page)
        [image, text] = self.asked[0]["messages"][0]["content"]
        self.assertEqual(image["image_url"]["url"], f"data:image/png;base64,{PNG}")
        self.assertEqual(text["text"], "notes.txt:\n````\na ``` b\n````\n\nwhat is it?")
        page.reload()
        page.get_by_role("img", name="pixel.png").wait_for()
        page.get_by_text("notes.txt").wait_for()

    def test_a_drop(self) -> None:
        """
        And what is neither an image nor text is refused in words.
        """
        self.start(a="")
        page = self.chat()
        drop = """([name, bytes]) => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([new Uint8Array(bytes)], name));
          for (const type of ["dragover", "drop"]) {
            document.body.dispatchEvent(
              new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
          }
        }"""
        page.evaluate(drop, ["a.py", list(b"print(1)")])
        page.get_by_label("Remove a.py").wait_for()
        page.evaluate(drop, ["a.bin", [0, 1, 255]])
        page.get_by_text("a.bin is neither an image nor text.").wait_for()
        page.get_by_label("Remove a.py").click()
        expect(page.get_by_label("Attached")).to_be_hidden()

    def test_a_model_that_cannot_see(self) -> None:
        """
        The engine's refusal is said in words.
        """
        self.start(a=wish(sees=False))
        page = self.chat()
        pixel = FilePayload(name="p.gif", mimeType="image/gif", buffer=GIF)
        page.locator("input[type=file][aria-label=Files]").set_input_files(pixel)
        page.get_by_label("Remove p.gif").wait_for()
        self.say(page, "what is it?")
        page.get_by_text("a cannot see images.").wait_for()
        # Engines read no such file: it was converted.
        [image, _] = self.asked[0]["messages"][0]["content"]
        self.assertTrue(image["image_url"]["url"].startswith("data:image/jpeg;base64,"))


GIF = bytes.fromhex(
    "47494638396101000100800000ff00000000002c00000000010001000002024401003b"
)


class KeyboardTests(ChatCase):
    """
    By keyboard alone.
    """

    def test_keys(self) -> None:
        """
        Shift-Enter breaks the line, Enter sends, Ctrl-K finds.
        """
        self.start(a="")
        page = self.chat()
        page.keyboard.type("one")
        page.keyboard.press("Shift+Enter")
        page.keyboard.type("two")
        page.keyboard.press("Enter")
        self.until_over(page)
        self.assertEqual(self.asked[0]["messages"][0]["content"], "one\ntwo")
        page.keyboard.press("Control+k")
        expect(page.get_by_label("Find a conversation")).to_be_focused()
        # The picker, by arrows.
        page.locator("#picker").focus()
        page.keyboard.press("ArrowDown")
        expect(page.get_by_role("menuitemradio")).to_be_focused()
        page.keyboard.press("Escape")
        expect(page.locator("#picker")).to_be_focused()

    def test_japanese(self) -> None:
        """
        The Enter that confirms a conversion does not send, in Safari neither, where it
        comes when the conversion is over.
        """
        self.start(a="")
        page = self.chat()
        session = page.context.new_cdp_session(page)
        session.send(
            "Input.imeSetComposition",
            {"text": "にほん", "selectionStart": 3, "selectionEnd": 3},
        )
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 229}
        session.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **enter})
        session.send("Input.insertText", {"text": "日本"})
        page.evaluate(
            """() => {
              const about = { bubbles: true, cancelable: true };
              const how = { key: "Enter", keyCode: 229, ...about };
              const message = document.getElementById("message");
              message.dispatchEvent(new KeyboardEvent("keydown", how));
            }"""
        )
        self.assertEqual(self.message(page).input_value(), "日本")
        self.assertEqual(self.asked, [])
        page.keyboard.press("Enter")
        self.until_over(page)
        self.assertEqual(self.asked[0]["messages"][0]["content"], "日本")
