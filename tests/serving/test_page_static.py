"""The page's files, read without a browser: they hang together, keep to the policy, and ask no other host."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import unrolled

STATIC = Path(unrolled.__file__).parent / "serving" / "page"
SCRIPTS = sorted(STATIC.rglob("*.js"))
STYLES = sorted(STATIC.rglob("*.css"))
TEXTS = [*SCRIPTS, *STYLES, STATIC / "index.html", STATIC / "icon.svg"]
IMPORT = re.compile(r"""(?:^|\n)\s*(?:import|export)\b[^;'"]*?from\s*["']([^"']+)["']""")
#: ways to make elements out of text, or to run it
MARKUP = (
    "innerHTML", "outerHTML", "insertAdjacentHTML", "createContextualFragment", "document.write", "DOMParser",
    "eval(", "Function(",
)  # fmt: skip
#: names of XML's vocabularies, which nobody fetches
NAMESPACES = {"http://www.w3.org/2000/svg"}


def name(path: Path) -> str:
    return path.relative_to(STATIC).as_posix()


def without_comments(script: str) -> str:
    return re.sub(r"/\*.*?\*/|(?<!:)//[^\n]*", "", script, flags=re.DOTALL)


class Elements(HTMLParser):
    """Every element of a document, its attributes, and the text right in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if data.strip() and self.found:
            self.inside.append((self.found[-1][0], data))


@pytest.fixture(scope="module")
def document() -> Elements:
    return Elements((STATIC / "index.html").read_text("utf-8"))


def test_index_has_no_inline_script_or_style(document: Elements) -> None:
    assert [tag for tag, _ in document.found if tag == "style"] == []
    assert [text for tag, text in document.inside if tag == "script"] == []
    for tag, attributes in document.found:
        assert "style" not in attributes, tag
        assert not [key for key in attributes if key.startswith("on")], tag
        assert tag != "script" or attributes.get("src")


def test_index_refers_to_files_that_exist(document: Elements) -> None:
    referred = [
        value or ""
        for tag, attributes in document.found
        for key, value in attributes.items()
        if key in ("src", "href") and tag in ("script", "link", "img")
    ]
    assert "static/app.js" in referred
    for one in referred:
        assert one.startswith("static/"), one
        assert (STATIC / one.removeprefix("static/")).is_file(), one


def test_index_says_its_language_and_has_one_heading(document: Elements) -> None:
    assert dict(document.found)["html"] == {"lang": "en"}
    assert [tag for tag, _ in document.found].count("h1") == 1
    assert [tag for tag, _ in document.found].count("main") == 1


@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_imports_exist(script: Path) -> None:
    for module in IMPORT.findall(script.read_text("utf-8")):
        assert module.startswith("."), f"{name(script)} imports {module}"
        assert (script.parent / module).is_file(), f"{name(script)} imports {module}"


def test_imported_names_are_exported() -> None:
    imports = re.compile(r"import\s*{([^}]*)}\s*from\s*[\"']([^\"']+)[\"']")
    exports = re.compile(r"export\s+(?:async\s+)?(?:function\*?|class|const|let)\s+(\w+)")
    for script in SCRIPTS:
        for names, module in imports.findall(script.read_text("utf-8")):
            there = set(exports.findall((script.parent / module).read_text("utf-8")))
            wanted = {one.split(" as ")[0].strip() for one in names.split(",") if one.strip()}
            assert wanted <= there, f"{name(script)}: {module} has no {', '.join(sorted(wanted - there))}"


def test_imported_names_are_used() -> None:
    for script in SCRIPTS:
        text = without_comments(script.read_text("utf-8"))
        for names in re.findall(r"import\s*{([^}]*)}\s*from", text):
            for one in names.split(","):
                word = one.split(" as ")[-1].strip()
                assert not word or len(re.findall(rf"\b{word}\b", text)) > 1, f"{name(script)}: {word}"


def modules_of(kind: str) -> dict[str, str]:
    """Return the classes of inputs or outputs by the names that models have for them."""
    text = (STATIC / kind / "index.js").read_text("utf-8")
    return dict(re.findall(r"^  (\w+): (\w+),$", text, re.MULTILINE))


def test_every_input_has_a_widget_and_every_output_a_view() -> None:
    from unrolled.tasks.core.api import api_of
    from unrolled.tasks.core.catalog import task_named, task_names

    tasks = [task_named(one) for one in task_names()]
    assert {api_of(task).widget or task.input.name for task in tasks} | {"frames"} == set(modules_of("inputs"))
    assert {api_of(task).view or task.output.name for task in tasks} == set(modules_of("outputs"))


@pytest.mark.parametrize(
    "kind, members",
    [("inputs", ["static reads", "get value", "show(", "clear("]), ("outputs", ["draw(", "clear("])],
)
def test_widgets_and_views_have_what_a_tab_calls(kind: str, members: list[str]) -> None:
    classes = modules_of(kind)
    fallback = "JsonInput" if kind == "inputs" else "GenericOutput"
    for script in (STATIC / kind).glob("*.js"):
        text = script.read_text("utf-8")
        for one in re.findall(r"export class (\w+)", text):
            if one in {*classes.values(), fallback}:
                assert [member for member in members if member not in text] == [], name(script)


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_no_other_host_is_asked(path: Path) -> None:
    addresses = set(
        re.findall(r"(?:https?:|wss?:)?//[\w.-]+\.\w+[^\s\"'<>)]*", without_comments(path.read_text("utf-8")))
    )
    assert addresses <= NAMESPACES, path.name
    assert "@import" not in path.read_text("utf-8") or path.suffix == ".js"


@pytest.mark.parametrize("script", SCRIPTS, ids=name)
def test_scripts_parse_no_markup_and_evaluate_no_text(script: Path) -> None:
    text = without_comments(script.read_text("utf-8"))
    assert [word for word in MARKUP if word in text] == []
    assert not re.search(r"""setAttribute\(\s*["']style""", text)
    assert not re.search(r"""\bstyle:\s*["'`]""", text), "a style is an object of properties"
    assert not re.search(r"\bconsole\.|\bdebugger\b", text)


@pytest.mark.parametrize("path", TEXTS, ids=name)
def test_files_are_small(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert len(lines) < 400
    assert max(map(len, lines)) <= 120


def test_custom_properties_are_defined() -> None:
    styles = "\n".join(path.read_text("utf-8") for path in STYLES)
    scripts = "\n".join(path.read_text("utf-8") for path in SCRIPTS)
    defined = set(re.findall(r"(--[\w-]+)\s*:", styles)) | set(re.findall(r"[\"'](--[\w-]+)[\"']\s*[,:]", scripts))
    used = set(re.findall(r"var\((--[\w-]+)", styles + scripts)) - {"--label-"}
    assert used <= defined
