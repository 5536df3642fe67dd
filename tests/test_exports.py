"""`import farm` provides the public names, and imports nothing heavy."""

import ast
import re
import subprocess
import sys
from importlib.metadata import version
from inspect import ismodule
from pathlib import Path

import pytest

import farm

ROOT = Path(__file__).parents[1]
HEAVY = {"torch", "ray", "sqlalchemy", "PIL", "pyvips", "numpy", "psutil", "rich", "click"}
PACKAGES = ("farm", "plugins/farm_dream", "cluster/farm_cluster")
MODULES = sorted(
    path.relative_to(ROOT).as_posix() for name in PACKAGES for path in (ROOT / name).rglob("*.py")
)


def test_all_lists_every_visible_name_in_order() -> None:
    visible = {
        name
        for name, value in vars(farm).items()
        if not name.startswith("_") and not ismodule(value)
    }
    assert set(farm.__all__) == visible - {"TYPE_CHECKING"} | {"Client", "__version__"}
    assert farm.__all__ == sorted(farm.__all__, key=lambda name: (not name[0].isupper(), name))


def test_every_name_exists_and_others_raise() -> None:
    assert all(hasattr(farm, name) for name in farm.__all__)
    assert farm.__version__ == version("neural-render-farm")
    with pytest.raises(AttributeError, match="has no attribute 'Effects'"):
        farm.Effects  # noqa: B018 - the access is the test


@pytest.mark.slow
def test_importing_farm_imports_nothing_heavy() -> None:
    code = f"import sys, farm; print(*({HEAVY} & set(sys.modules)), farm.__version__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", done.stdout), done.stdout


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_docstring(module: str) -> None:
    docstring = ast.get_docstring(ast.parse((ROOT / module).read_text()))
    assert docstring, "add a docstring that says what the module does"
    assert docstring.splitlines()[0].endswith((".", ":")), "its first line must be a sentence"
