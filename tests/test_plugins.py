"""Registries, and the modules that add to them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rsbench import plugins
from rsbench.cli.main import run
from rsbench.errors import UsageError
from rsbench.plugins import (
    Registry,
    import_object,
    load_plugins,
    load_same_sources,
    loaded_sources,
    request_plugins,
)
from tests.fixtures.plugins import WritePlugin


@pytest.fixture
def fruits() -> Registry[int]:
    """A registry of whole numbers below 100."""

    def check(name: str, value: int) -> None:
        if value >= 100:
            raise ValueError(f"{value} is not below 100")

    return Registry("fruit", int, {"apple": 1, "pear": 2}, check=check)


def test_a_registry_is_a_mapping_in_the_order_of_registration(fruits: Registry[int]) -> None:
    assert fruits.register("plum", 3) == 3
    assert fruits.names() == ("apple", "pear", "plum")
    assert dict(fruits) == {"apple": 1, "pear": 2, "plum": 3}
    assert fruits.lookup("plum") == fruits["plum"] == 3
    assert fruits.get("melon") is None
    with pytest.raises(KeyError):
        fruits["melon"]


def test_an_unknown_name_is_refused_with_the_names_that_exist(fruits: Registry[int]) -> None:
    with pytest.raises(
        UsageError, match=r"unknown fruit 'melon': choose from apple, pear, or load the plugin .*--plugin"
    ):
        fruits.lookup("melon")


def test_a_name_is_registered_once(fruits: Registry[int]) -> None:
    with pytest.raises(UsageError, match="fruit 'apple' is already registered: choose another name"):
        fruits.register("apple", 3)
    assert fruits["apple"] == 1


@pytest.mark.parametrize("name", ["", "a,b", "a:b", "a b", "-a", "a/b"])
def test_a_name_that_the_command_line_could_not_take_is_refused(fruits: Registry[int], name: str) -> None:
    with pytest.raises(UsageError, match="is not valid"):
        fruits.register(name, 3)


def test_a_value_of_another_kind_is_refused(fruits: Registry[object]) -> None:
    with pytest.raises(UsageError, match=r"fruit 'plum' is of type str: register an instance of builtins\.int"):
        fruits.register("plum", "3")
    # The mistake that is made most often.
    with pytest.raises(UsageError, match=r"fruit 'plum' is the class int: register an instance"):
        fruits.register("plum", int)
    with pytest.raises(UsageError, match="fruit 'plum' cannot be registered: 100 is not below 100"):
        fruits.register("plum", 100)
    assert fruits.names() == ("apple", "pear")


def test_a_value_can_be_registered_for_a_while(fruits: Registry[int]) -> None:
    with fruits.registered("plum", 3):
        assert "plum" in fruits
    assert "plum" not in fruits


def test_requested_plugins_are_imported_once(write_plugin: WritePlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    write_plugin("plugin_a", "import os; os.environ['PLUGIN_A'] += '.'")
    monkeypatch.setenv("PLUGIN_A", "")
    request_plugins(["plugin_a"])
    request_plugins(["plugin_a"])
    assert os.environ["RSBENCH_PLUGINS"] == "plugin_a"
    load_plugins()
    load_plugins()
    assert os.environ["PLUGIN_A"] == "."
    assert list(loaded_sources()) == ["plugin_a"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, r"plugin 'plugin_b' cannot be imported \(ModuleNotFoundError: No module named 'plugin_b'\): install it"),
        ("import nowhere", r"plugin 'plugin_b' cannot be imported \(ModuleNotFoundError: No module named 'nowhere'\)"),
        ("1 / 0", r"plugin 'plugin_b' cannot be imported \(ZeroDivisionError: division by zero\)"),
        ("def", r"plugin 'plugin_b' cannot be imported \(SyntaxError: "),
        (
            "from rsbench.theory.catalogue import CERTIFICATES\nCERTIFICATES.register('box', CERTIFICATES['box'])",
            "plugin 'plugin_b': certificate 'box' is already registered: choose another name",
        ),
        (
            "from rsbench.theory.catalogue import CERTIFICATES\nCERTIFICATES.register('mine', 3)",
            "plugin 'plugin_b': certificate 'mine' is of type int: register an instance of",
        ),
    ],
)
def test_a_plugin_that_fails_is_one_line(
    write_plugin: WritePlugin, capsys: pytest.CaptureFixture[str], source: str | None, message: str
) -> None:
    if source is not None:
        write_plugin("plugin_b", source)
    request_plugins(["plugin_b"])
    # The second attempt says the same: what the first one left behind is not mistaken for another plugin's.
    for _ in range(2):
        with pytest.raises(UsageError, match=message):
            load_plugins()
    assert run(["radius", "--list"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1


def test_an_object_is_imported_by_reference(write_plugin: WritePlugin) -> None:
    write_plugin("module_c", "class Outer:\n    inner = 3\n")
    assert import_object("module_c:Outer.inner", "architecture") == 3
    assert import_object("rsbench.plugins:Registry", "architecture") is Registry
    assert list(loaded_sources()) == ["module_c"]
    with pytest.raises(UsageError, match=r"architecture 'module_c:missing': module_c has no attribute 'missing'"):
        import_object("module_c:missing", "architecture")
    with pytest.raises(UsageError, match=r"architecture 'module_c:' is not of the form package\.module:name"):
        import_object("module_c:", "architecture")
    with pytest.raises(UsageError, match=r"architecture 'module_d:x': the module cannot be imported .*No module named"):
        import_object("module_d:x", "architecture")


def test_another_process_must_have_the_same_sources(write_plugin: WritePlugin, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write_plugin("plugin_e", "value = 1")
    request_plugins(["plugin_e"])
    load_plugins()
    digests = loaded_sources()
    load_same_sources(digests)
    # A process that imports the plugin after a change of its file has other code; this one still runs the old.
    file.write_text("value = 2")
    load_same_sources(digests)
    monkeypatch.setattr(plugins, "_loaded", {})
    with pytest.raises(UsageError, match=r"plugin 'plugin_e' differs between the node .*: install the same version"):
        load_same_sources(digests)
    with pytest.raises(UsageError, match=r"plugin 'plugin_f' cannot be imported .*: install it on the node"):
        load_same_sources({"plugin_f": ""})


def test_the_sources_of_a_package_are_all_its_files(
    write_plugin: WritePlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "package_g").mkdir()
    write_plugin("package_g/__init__", "")
    write_plugin("package_g/plugin", "")
    other = write_plugin("package_g/other", "value = 1")
    request_plugins(["package_g.plugin"])
    load_plugins()
    digests = loaded_sources()
    other.write_text("value = 2")
    assert loaded_sources() == digests
    monkeypatch.setattr(plugins, "_loaded", {})
    load_plugins()
    assert loaded_sources() != digests


def test_an_installed_package_declares_its_plugins(write_plugin: WritePlugin, tmp_path: Path) -> None:
    write_plugin("plugin_h", "")
    distribution = tmp_path / "some_package-1.0.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: some-package\nVersion: 1.0\n")
    (distribution / "entry_points.txt").write_text("[rsbench.plugins]\nh = plugin_h\n")
    load_plugins()
    assert list(loaded_sources()) == ["plugin_h"]
    (distribution / "entry_points.txt").write_text("[rsbench.plugins]\ni = plugin_i\n")
    with pytest.raises(UsageError, match="repair or uninstall some-package, which declares it"):
        load_plugins()


def test_the_command_line_takes_plugins_from_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "plugin_j.py").write_text("print('plugin j')")
    (tmp_path / "plugin_k.py").write_text("print('plugin k')")
    program = Path(sys.executable).with_name("rsbench")
    arguments = ["--plugin", "plugin_j", "--plugin=plugin_k", "radius", "--list"]
    done = subprocess.run([program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("plugin j\nplugin k\n")
