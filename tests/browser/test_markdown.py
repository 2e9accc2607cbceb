"""
Markdown as nodes: what a text becomes, and that a hostile one becomes nothing else.
"""

from typing import Any

from tests.browser.rig import BrowserCase

# The nodes of a text, in a short notation of their own: no markup is read anywhere.
SHOW = """async ([pieces, keep]) => {
  const { MarkdownView } = await import("/pages/markdown_view.js");
  const view = new MarkdownView();
  document.body.replaceChildren(view.node);
  const before = [];
  let text = "";
  for (const piece of pieces) {
    text += piece;
    view.update(text);
    before.push([...view.node.children]);
  }
  if (keep) {
    return before.slice(1).map((nodes, n) =>
      before[n].filter((node, at) => nodes[at] === node).length);
  }
  view.update(`${text}\n`);
  return view.node.innerHTML;
}"""
# How long each takes, in ms, of this much of it.
TIME = """async ([piece, size]) => {
  const { MarkdownView } = await import("/pages/markdown_view.js");
  const text = piece.repeat(Math.floor(size / piece.length));
  const view = new MarkdownView();
  const began = performance.now();
  view.update(text);
  return performance.now() - began;
}"""
# What could act, or load something; buttons of ours have icons.
ACTS = """() => {
  const acts = /^(script|img|svg|iframe|style|object|embed|form|base|meta|link)$/;
  return [...document.body.querySelectorAll("*")].flatMap((node) => [
    ...(acts.test(node.localName) && !node.closest("button") ? [node.localName] : []),
    ...[...node.attributes].map((it) => it.name)
      .filter((name) => /^on|^style$|^src/.test(name)),
    ...(node.href && !/^https:/.test(node.href) ? [node.href] : []),
  ]);
}"""

# Text, and what it becomes.
CASES = {
    # Emphasis, by CommonMark's rules.
    "*a* **b** ***c***": (
        "<p><em>a</em> <strong>b</strong> <em><strong>c</strong></em></p>"
    ),
    "**bold *both* bold**": "<p><strong>bold <em>both</em> bold</strong></p>",
    "snake_case_name": "<p>snake_case_name</p>",
    "**a*": "<p>*<em>a</em></p>",
    "2 * 3 * 4": "<p>2 * 3 * 4</p>",
    "~~gone~~ a~b": "<p><del>gone</del> a~b</p>",
    r"\*no\* \a": r"<p>*no* \a</p>",
    # Code and line breaks.
    "``a`b`` `c`": "<p><code>a`b</code> <code>c</code></p>",
    "`open": "<p>`open</p>",
    "a  \nb\\\nc\nd<br>e": "<p>a<br>b<br>c\nd<br>e</p>",
    "&amp; &copy; &#65; &#0; &bogus; &valueOf;": (
        "<p>&amp; © A \ufffd &amp;bogus; &amp;valueOf;</p>"
    ),
    # Headings are below the page's own.
    "# One #\n\nTwo\n---": "<h3>One</h3><h4>Two</h4>",
    "#no": "<p>#no</p>",
    "a\n\n***\n\nb": "<p>a</p><hr><p>b</p>",
    # Quotes and lists.
    "> a\nb\n>\n> > c": (
        "<blockquote><p>a\nb</p><blockquote><p>c</p></blockquote></blockquote>"
    ),
    "- a\n- b\n  - c": (
        '<ul><li class="tight"><p>a</p></li><li class="tight"><p>b</p>'
        '<ul><li class="tight"><p>c</p></li></ul></li></ul>'
    ),
    "3. a\n\n4. b": '<ol start="3"><li><p>a</p></li><li><p>b</p></li></ol>',
    # Indented by two, as models do it.
    "1. a\n  - b": (
        '<ol><li class="tight"><p>a</p><ul><li class="tight"><p>b</p></li></ul></li>'
        "</ol>"
    ),
    "- [x] a": (
        '<ul><li class="tight task"><span class="box">☑ </span><p>a</p></li></ul>'
    ),
    "In\n1986. What": "<p>In\n1986. What</p>",
    # Tables.
    "|a|b|\n|:-|-:|\n|`x|y`|\\||": (
        '<div class="table-box" tabindex="0" role="region" aria-label="Table"><table>'
        '<thead><tr><th class="left">a</th><th class="right">b</th></tr></thead><tbody>'
        '<tr><td class="left"><code>x|y</code></td><td class="right">|</td></tr>'
        "</tbody></table></div>"
    ),
    "a | b": "<p>a | b</p>",
    # Mathematics is left as it is.
    "$a_1*b*c_2$ and $5 and $10": (
        '<p><span class="math">a_1*b*c_2</span> and $5 and $10</p>'
    ),
    r"\(a_b\) \[c\]": (
        r'<p><span class="math">a_b</span> <span class="math wide">c</span></p>'
    ),
    "$$\nx_1\n$$": '<div class="math" tabindex="0">x_1</div>',
    # Links.
    "[a *b*](https://x.org/(y)) c": (
        '<p><a href="https://x.org/(y)" target="_blank" '
        'rel="noopener noreferrer nofollow">a <em>b</em></a> c</p>'
    ),
    "https://x.org/a. b": (
        '<p><a href="https://x.org/a" target="_blank" '
        'rel="noopener noreferrer nofollow">https://x.org/a</a>. b</p>'
    ),
    "[a][1]\n\n[1]: https://x.org 'T'": (
        '<p><a href="https://x.org" target="_blank" rel="noopener noreferrer nofollow">'
        'a</a></p><span hidden=""></span>'
    ),
    # Nothing is loaded from elsewhere.
    "![i](https://x.org/i.png)": (
        '<p><a href="https://x.org/i.png" target="_blank" '
        'rel="noopener noreferrer nofollow">\U0001f5bc&nbsp;i</a></p>'
    ),
}

UNSAFE = (
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](java\tscript:alert(1))",
    "[a](\x01javascript:alert(1))",
    "[a](&#106;avascript:alert(1))",
    "[a](data:text/html,<script>alert(1)</script>)",
    "[a](vbscript:x)",
    "[a](file:///etc/passwd)",
    "[a](//evil.example/)",
    "[a][1]\n\n[1]: javascript:alert(1)",
    "<javascript:alert(1)>",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<a href='javascript:alert(1)' onclick=alert(1)>a</a>",
    "<svg/onload=alert(1)>",
    "<style>*{display:none}</style>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "[a](https://x.org \"x' onmouseover='alert(1)\")",
    '[a](https://x.org/" onmouseover="alert(1))',
    "```html onload=alert(1)\n<script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "|<script>|\n|-|\n|<img src=x onerror=alert(1)>|",
    "$<script>alert(1)</script>$",
)
# A megabyte of each.
ENDLESS = (
    *(">", "- ", "1. ", "> - ", "    ", "#", "# ", "|", "a|b\n-|-\n", "```\n", "- a\n"),
    *(
        "*",
        "_a *a ",
        "**a*",
        "***a ",
        "a* _b ",
        "*a_ ",
        "~a ~~b ",
        "![",
        "[",
        "](",
        "\\(",
    ),
    *(
        "[](",
        "[](<",
        "[](a (",
        "[](a '",
        "[](a \"b'",
        "![ [ [x](y)",
        "[[a](b)",
        "`",
        "``a`",
    ),
    *("$a ", "$$", "\n$$\n", "<", "<http:", "&#", "h", "http://", "http://a)", "a  \n"),
    *("[a]: b\n", "[a]: b c\n", "  \n", "\t", "\u3000", "é\n"),
)
MEGABYTE = 1_000_000
# Of a machine that is ten times slower than that which needs the longest, 1 s, for it.
ENOUGH_MS = 20_000


class MarkdownTests(BrowserCase):
    """
    One page for all texts.
    """

    def setUp(self) -> None:
        super().setUp()
        self.start()
        self.page = self.blank()

    def show(self, *pieces: str) -> Any:
        return self.page.evaluate(SHOW, [list(pieces), False])

    def test_what_it_becomes(self) -> None:
        """
        At once, and character by character.
        """
        for text, nodes in CASES.items():
            self.assertEqual((text, self.show(text)), (text, nodes))
            self.assertEqual((text, self.show(*text)), (text, nodes))

    def test_code(self) -> None:
        """
        Its language, its lines, four kinds of words; each line is read once.
        """
        text = '```python\ndef f(x):  # \'no\'\n    return """a\nb""", 1.5\n```\nafter'
        for pieces in ((text,), tuple(text)):
            self.show(*pieces)
            code = self.page.locator("pre code")
            self.assertEqual(
                code.inner_text(),
                'def f(x):  # \'no\'\n    return """a\nb""", 1.5',
            )
            found = {
                kind: self.page.locator(f"pre .{kind}").all_inner_texts()
                for kind in ("keyword", "comment", "string", "number")
            }
            expected = {
                "keyword": ["def", "return"],
                "comment": ["# 'no'"],
                "string": ['"""a', 'b"""'],
                "number": ["1.5"],
            }
            self.assertEqual(found, expected)
            self.assertEqual(
                self.page.locator(".code-head > span").inner_text(), "python"
            )
            self.assertEqual(self.page.locator("p").inner_text(), "after")

    def test_long_code(self) -> None:
        """
        Its lines are those of its text, empty ones too, wherever it is cut.
        """
        lines = [f"line {n}" if n % 3 else "" for n in range(1, 200)]
        text = "```\n" + "\n".join(lines) + "\n```\n"
        for size in (7, 64, len(text)):
            self.show(*(text[at : at + size] for at in range(0, len(text), size)))
            code = self.page.locator("pre code")
            self.assertEqual(code.inner_text().split("\n"), lines)

    def test_what_is_kept(self) -> None:
        """
        Blocks before the last one keep their nodes, and so does that while it grows.
        """
        pieces = ["a\n\nb", " c\n\n- d", "\n- e\n", "\n```\nf\n", "g\n```\n\nh"]
        kept = self.page.evaluate(SHOW, [pieces, True])
        self.assertEqual(kept, [2, 3, 3, 4])

    def test_hostile_text_is_inert(self) -> None:
        """
        It makes no element that acts or loads, no attribute that does, no address but
        of the safe schemes.
        """
        for text in UNSAFE:
            for pieces in ((text,), tuple(text)):
                self.show(*pieces)
                found = self.page.evaluate(ACTS)
                self.assertEqual((text, found), (text, []))

    def test_hostile_text_is_fast(self) -> None:
        """
        A megabyte of nesting, or of marks that open and never close, takes the time of
        its length: twice the text does not take four times as long, and some more.
        """
        for piece in ENDLESS:
            took_ms = self.page.evaluate(TIME, [piece, MEGABYTE])
            self.assertLess(took_ms, ENOUGH_MS, f"{piece!r}")

    def test_deep_nesting(self) -> None:
        """
        The tree of nodes stays shallow, however deep the text is.
        """
        deep = "".join(f"{' ' * 2 * n}- a\n" for n in range(500))
        marks = "".join("*_"[n % 2] + "a " for n in range(2000)) + "b* b_ " * 1000
        for text in (deep, ">" * 10_000 + " a", "- " * 10_000 + "a", marks):
            self.show(text)
            depth = self.page.evaluate(
                """() => {
                  const depth = (node) =>
                    1 + Math.max(0, ...[...node.children].map(depth));
                  return depth(document.body);
                }"""
            )
            self.assertLess(depth, 130)

    def test_endless_lists(self) -> None:
        """
        After so many blocks the text is shown as it is, all of it, and goes on so.
        """
        text = "- a\n" * 20_000
        self.show(*(text[at : at + 9999] for at in range(0, len(text), 9999)), "*b*\n")
        count = self.page.evaluate("() => document.querySelectorAll('*').length")
        self.assertLess(count, 30_000)
        rest = self.page.locator(".markdown > pre").inner_text()
        items = self.page.locator(".markdown > ul > li").count()
        lines = rest.rstrip().split("\n")
        self.assertEqual(lines[-1], "*b*")
        self.assertEqual(items + len(lines) - 1, 20_000)
