"""The map of CONTRIBUTING.md, read out of the imports: they go one way, and never in a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# What each room may import of the others; the scripts and the two fronts may import of all.
MAY_IMPORT = {
    "setup": set(),
    "storage": set(),
    "capture": {"storage"},
    "face_detector": {"storage"},
    "anti_spoofing": {"storage"},
    "face_recognizer": {"storage", "face_detector"},
    "model_file": {"storage"},
    "alerting": {"storage"},
    "training": {"storage", "capture", "face_detector", "anti_spoofing", "face_recognizer", "model_file"},
    "authentication": {"storage", "capture", "face_detector", "anti_spoofing", "face_recognizer", "model_file"},
}
TOP = {"alerts", "gather_examples", "liveness_main", "livenessnet", "options", "quickstart", "train"}
NO_ROOMS = {"benchmarks", "dataset", "docs", "tests", "videos"}


def imports_of(file: Path, known: dict[str, Path]) -> set[str]:
    """The modules that a file imports, wherever in it: "capture.crops", "numpy"."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(part for part in (file.parent.name if node.level else "", node.module) if part)
            names = {f"{base}.{name.name}" for name in node.names}
            found |= names & known.keys() or {base}
    return found


def modules(root: Path) -> dict[str, Path]:
    """The suite's own by name, "capture.crops", packages by that of their folder."""
    files = [*root.glob("*.py"), *(file for room in MAY_IMPORT for file in (root / room).rglob("*.py"))]
    return {".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def wrong_arrows(root: Path) -> list[str]:
    wrong = []
    for name, file in (known := modules(root)).items():
        room = name.split(".")[0]
        for imported in imports_of(file, known):
            target = imported.split(".")[0]
            ours = target in MAY_IMPORT or target in TOP
            if room in MAY_IMPORT and ours and target != room and target not in MAY_IMPORT[room]:
                wrong.append(f"{name} -> {imported}")
            if room in MAY_IMPORT and target == "argparse":
                wrong.append(f"{name} -> argparse")
    return sorted(wrong)


def test_every_folder_of_code_is_on_the_map():
    folders = {path.name for path in ROOT.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert folders - NO_ROOMS == set(MAY_IMPORT)
    assert {path.stem for path in ROOT.glob("*.py")} == TOP


def test_imports_go_one_way():
    assert wrong_arrows(ROOT) == []


@pytest.mark.parametrize(
    "room, line",
    [
        ("authentication", "from alerting import incident"),
        ("training", "import authentication.verdict"),
        ("capture", "def later():\n    import liveness_main"),
        ("storage", "import argparse"),
    ],
)
def test_a_wrong_arrow_is_seen(tmp_path, room, line):
    (tmp_path / room).mkdir()
    (tmp_path / room / "somewhere.py").write_text(line)
    assert len(wrong_arrows(tmp_path)) >= 1


def test_no_two_modules_import_each_other():
    known = modules(ROOT)
    graph = {name: imports_of(file, known) & known.keys() for name, file in known.items()}
    list(TopologicalSorter(graph).static_order())  # raises CycleError


def test_every_room_says_what_it_is_for():
    for room in MAY_IMPORT:
        docstring = ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text(encoding="utf-8")))
        assert docstring and len(docstring.splitlines()) <= 20, room


def test_files_and_functions_stay_small():
    for name, file in modules(ROOT).items():
        source = file.read_text(encoding="utf-8")
        assert len(source.splitlines()) <= 400, name
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < 60, f"{name}: {node.name}"
