"""The style sheet: one place for its values, no rule that no page uses, no class without a rule."""

from __future__ import annotations

import re
from pathlib import Path

from newsmill.web.pages import rendering

PAGES = Path(rendering.__file__).parent
CSS = re.sub(r"/\*.*?\*/", "", (PAGES / "static" / "style.css").read_text("utf-8"), flags=re.DOTALL)
ROOTS = re.findall(r":root\s*{[^}]*}", CSS)
RULES = re.sub(r":root\s*{[^}]*}", "", CSS)


def test_values_are_named_once_and_used() -> None:
    defined, used = set(re.findall(r"(--[\w-]+):", "".join(ROOTS))), set(re.findall(r"var\((--[\w-]+)\)", CSS))
    assert defined == used
    assert not re.search(r"#[0-9a-f]{3,8}\b(?![^{]*{)|\b(rgb|hsl)a?\(", re.sub(r"#[\w-]+[^{};]*{", "{", RULES)), (
        "colours are values of :root"
    )
    for name in ("font-size", "border-radius"):
        own = [
            value
            for value in re.findall(rf"{name}: ([^;}}]+)", RULES)
            if not re.fullmatch(r"[^a-z]*0|50%|\.1rem|(0|var\(--[\w-]+\)| )+", value)
        ]
        assert own == [], name
    widths = set(re.findall(r"\((?:min|max)-width: ([\d.]+)rem\)", CSS))
    assert widths <= {"22", "34", "46", "59.99", "60"}


def test_dark_gives_every_colour_and_nothing_else() -> None:
    light, dark = (dict(re.findall(r"(--[\w-]+): (#\w+)", root)) for root in ROOTS[:2])
    assert set(light) - {"--archived", "--backdrop"} == set(dark)


def test_every_class_has_a_rule_and_every_rule_a_page() -> None:
    markup = "\n".join(path.read_text("utf-8") for path in PAGES.glob("templates/*.html"))
    code = "\n".join(path.read_text("utf-8") for path in PAGES.glob("*.py"))
    styled = set(re.findall(r"\.([a-z][\w-]*)", re.sub(r"{[^}]*}", " ", CSS)))
    classes = " ".join(re.findall(r"""class=\\?["']([^"]*)["']""", markup + code))
    given = set(re.findall(r"[a-z][\w-]*(?![\w{-])", re.sub(r"{[{%].*?[%}]}", " ", classes)))
    assert given <= styled | {"full"}, given - styled
    assert [
        name for name in styled if not re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", markup + code) and not re.fullmatch(r"c\d", name)
    ] == []
