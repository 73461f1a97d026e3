"""Every word that the module shows goes through ``_()``, in the form that Slicer's tools find it in."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "LiverSegModule"
MRML = ROOT / "LiverSegExtension" / "liverseg_mrml"
sys.path.insert(0, str(MODULE))

SHOWN_ATTRIBUTES = {
    *("text", "toolTip", "title", "windowTitle", "placeholderText", "statusTip", "whatsThis"),
    *("helpText", "acknowledgementText"),
}
# What a call shows, by the places of its arguments (None: all of them).
SHOWN_ARGUMENTS: dict[str, tuple[int, ...] | None] = {
    **dict.fromkeys(("setText", "setToolTip", "setWindowTitle", "setTitle", "setStatusTip"), (0,)),
    **dict.fromkeys(("addItem", "addItems", "appendPlainText", "setHorizontalHeaderLabels"), (0,)),
    **dict.fromkeys(("errorDisplay", "warningDisplay", "infoDisplay", "messageBox"), None),
    **dict.fromkeys(("confirmOkCancelDisplay", "confirmYesNoDisplay", "confirmRetryCloseDisplay"), None),
    **dict.fromkeys(("QLabel", "QCheckBox", "QPushButton", "QRadioButton", "QGroupBox"), (0,)),
    **dict.fromkeys(("QTableWidgetItem", "QAction", "telling", "Failed", "Warned", "_say", "log"), (0,)),
    **dict.fromkeys(("_log", "showStatusMessage"), (0,)),
    **dict.fromkeys(("Finding", "RunOutcome", "AddNewNodeByClass"), (1,)),
}
TRANSLATED = {"_", "translate"}
# Words of other programs, names, and keys that no one reads.
NO_SENTENCES = {"exit abnormally", "glass liver", "The LiverSeg contributors"}
TEST_FILES = re.compile(r"SelfTest|Scenario")

Finding = tuple[int, str]


def sources() -> list[Path]:
    """The module's files, but for those of its self test."""
    found = [MODULE / "LiverSegModule.py", *sorted((MODULE / "LiverSegModuleLib").rglob("*.py"))]
    return [path for path in found if not TEST_FILES.search(path.name)]


def called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)


def literals(node: ast.AST) -> Iterator[Finding]:
    """Letters of an expression's value that are written there and not translated."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str) and re.search("[A-Za-z]{2,}", plain(node.value)):
            yield node.lineno, node.value
        return
    for part in parts_of(node):
        yield from literals(part)


def parts_of(node: ast.AST) -> list[ast.AST]:
    """What an expression's value is made of; not its conditions, keys, and what other functions are told."""
    match node:
        case ast.Call() if called(node) in ("format", "join"):
            # Of a method, what it is called on.
            return [node.func, *node.args, *(keyword.value for keyword in node.keywords)]
        case ast.Call() if called(node) in ("escape", "str"):
            return [*node.args]
        case ast.Subscript() | ast.FormattedValue():
            return [node.value]
        case ast.Dict():
            return [*node.values]
        case ast.IfExp():
            return [node.body, node.orelse]
    opaque = isinstance(node, ast.Call | ast.Compare | ast.Lambda)
    return [] if opaque else list(ast.iter_child_nodes(node))


def plain(text: str) -> str:
    """Without tags, entities and placeholders."""
    return re.sub(r"<[^<>]*>|<[^<>]*$|^[^<>]*>|&\w+;|\{\w*\}", "", text)


def shown(tree: ast.AST, raised_only: bool = False) -> list[Finding]:
    """Literals that reach the user through a widget, a dialog, the log or an error."""
    found: list[Finding] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            for argument in node.exc.args:
                found += literals(argument)
        if raised_only:
            continue
        if isinstance(node, ast.Assign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(each, ast.Attribute) and each.attr in SHOWN_ATTRIBUTES for each in targets):
                found += literals(node.value)
        if isinstance(node, ast.Call) and called(node) in SHOWN_ARGUMENTS:
            places = SHOWN_ARGUMENTS[called(node)]
            arguments = node.args if places is None else [node.args[n] for n in places if n < len(node.args)]
            for argument in (*arguments, *(k.value for k in node.keywords if k.arg in SHOWN_ATTRIBUTES)):
                found += literals(argument)
    return found


def sentences(tree: ast.AST) -> list[Finding]:
    """Two words in a row, wherever they are: not translated, in no docstring, log line or dictionary key."""
    apart: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            apart.add(id(node.value))
        if isinstance(node, ast.Call) and (
            called(node) in TRANSLATED or ast.unparse(node.func).startswith("logging.")
        ):
            apart |= {id(each) for argument in node.args for each in ast.walk(argument)}
        if isinstance(node, ast.Dict):
            apart |= {id(key) for key in node.keys}
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "Enum" for base in node.bases):
            apart |= {id(each) for each in ast.walk(node) if isinstance(each, ast.Constant)}
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in apart
        and node.value not in NO_SENTENCES
        and not re.match(r"\s*<", node.value)
        and re.search("[A-Za-z]{2,}[,;:]? [A-Za-z]{2,}", plain(node.value))
    ]


def complaints(paths: list[Path], find: object) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line}: {text!r}"
        for path in paths
        for line, text in find(ast.parse(path.read_text(encoding="utf-8")))  # type: ignore[operator]
    ]


def test_the_checker_sees_what_it_must() -> None:
    bare = """
label.text = "Failed"
label.text = f"<b>{n} lesions</b>"
box.addItem("Full", "full")
slicer.util.errorDisplay(f"{what}: not found", windowTitle="LiverSeg")
raise RuntimeError("no liver")
label.toolTip = ", ".join(["one"]) if n else _("fine")
label.text = {"done": "ready"}[state]
label.text = _("{a}").format(a="word")
"""
    assert [line for line, _text in sorted(shown(ast.parse(bare)))] == [2, 3, 4, 5, 5, 6, 7, 8, 9]
    fine = """
label.text = _("Failed: {reason}").format(reason=outcome.reason)
label.text = f"<span style='color:red'>{escape(text)}</span>&nbsp;-"
box.addItem(_("Full"), "full")
label.styleSheet = "color: red"
label.text = titles["glass liver"] if state == "done" else ""
"""
    assert not shown(ast.parse(fine))
    assert len(sentences(ast.parse('text = "two words"\nlogging.info("no one reads it")'))) == 1


def test_every_word_on_screen_goes_through_translation() -> None:
    assert not complaints(sources(), shown), "put the words through _()"


def test_no_sentence_of_the_module_is_left_untranslated() -> None:
    paths = [path for path in sources() if path.name != "EngineWords.py"]
    assert not complaints(paths, sentences), "put the sentence through _()"


def test_refusals_of_liverseg_mrml_are_translated_for_the_dialog_that_shows_them() -> None:
    def raised(tree: ast.AST) -> list[Finding]:
        return shown(tree, raised_only=True)

    assert not complaints(sorted(MRML.glob("*.py")), raised)
    findings = [MRML / "input_volume.py"]
    assert not complaints(findings, shown)


def test_slicers_tools_find_every_translation_and_nothing_hides_the_function() -> None:
    # update_translations.py of Slicer takes _("..."), one literal; what is formatted must be so afterwards.
    wrong = []
    for path in (*sources(), *sorted(MRML.glob("*.py"))):
        text = path.read_text(encoding="utf-8")
        tree, importing = ast.parse(text), re.search(r"import (tr as )?_$", text, re.MULTILINE)
        if path.stem.lower() == "translation":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "_":
                literal = len(node.args) == 1 and isinstance(node.args[0], ast.Constant)
                if not literal or node.keywords:
                    wrong.append(f"{path.name}:{node.lineno} translates no literal")
                    continue
                # They look for the quote that a call began with, and would go on to the next call.
                written = ast.get_source_segment(text, node.args[0]) or ""
                if written[0] != written[-1]:
                    wrong.append(f"{path.name}:{node.lineno} begins and ends with other quotes")
            bound = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == "_"
            if importing and (bound or (isinstance(node, ast.arg) and node.arg == "_")):
                wrong.append(f"{path.name}:{node.lineno} gives _ another meaning")
    assert not wrong


def test_the_engines_stages_are_words_that_the_panel_translates() -> None:
    from liverseg.remnant import USUAL_LIMITS
    from LiverSegModuleLib import EngineWords

    known = EngineWords._fixedWords()
    assert USUAL_LIMITS in known
    assert EngineWords.inUsersLanguage("lesions: window 3 of 8") == "lesions: window 3 of 8"
    assert EngineWords.inUsersLanguage("a case of its own: scan 2") == "a case of its own: scan 2"
    said = set()
    for name in ("pipeline.py", "compare/comparing.py", "compare/registration.py", "cli/batch.py"):
        tree = ast.parse((ROOT / "LiverSegExtension/liverseg" / name).read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("progress", "part_of"):
                continue
            last = node.args[3 if ast.unparse(node.func) == "part_of" else 1]
            if isinstance(last, ast.Constant):
                said |= set(str(last.value).split(": "))
    assert {"checking the CT", "liver", "lesions"} <= said
    assert said <= known.keys()


def test_what_the_engine_says_of_an_input_is_found_in_the_list_that_is_translated() -> None:
    from liverseg_mrml import preflight_words

    patterns = [preflight_words._pattern(each) for each in preflight_words.phrases(str)]
    tree = ast.parse((ROOT / "LiverSegExtension/liverseg/checks.py").read_text(encoding="utf-8"))
    spoken = [node.value for node in ast.walk(tree) if isinstance(node, ast.Yield)]
    raised = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise)]
    spoken += [each.args[0] for each in raised if isinstance(each, ast.Call)]
    stand_for = {"shown": "values from 1 to 2", "what": "is a single slice", "few": "", "refusal": ""}
    heard = 0
    for each in spoken:
        said = ""
        for part in each.values if isinstance(each, ast.JoinedStr) else [each]:
            value = ast.unparse(part.value) if isinstance(part, ast.FormattedValue) else ""
            said += getattr(part, "value", "") if not value and isinstance(part, ast.Constant) else ""
            said += stand_for.get(value, "7") if value else ""
        if not said or "--force" in said:
            continue
        heard += 1
        assert any(pattern.fullmatch(f"{said.removesuffix('.')}.") for pattern in patterns), said
    assert heard > 15


def test_nothing_on_the_panel_is_english_in_another_language(tmp_path: Path) -> None:
    pytest.importorskip("slicer", reason="slicer-core is not installed (pip install 'liverseg[mrml]')")
    pytest.importorskip("PySide6.QtWidgets", reason="PySide6 does not load", exc_type=ImportError)
    command = [sys.executable, str(ROOT / "Testing/QtHost/another_language.py"), str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert answer.returncode == 0, answer.stderr[-2000:]
    lines = answer.stdout.splitlines()
    assert int(next(line for line in lines if line.startswith("TRANSLATED")).split()[1]) > 150
    assert not [line for line in lines if line.startswith("ENGLISH")]
