"""The command of a run: the real program reads it as the run's own specification."""

import shlex
from dataclasses import replace
from typing import Any

import pytest
import typer.main

from rsbench.cli.main import application
from rsbench.data.subset import canonical, choose_images
from rsbench.report.commands import command_of, curve_command, images_option
from rsbench.specs import ImportSpec
from tests.fixtures.results import DIGITS, certification_of
from tests.report.runs import a_run


def parsed(line: str) -> dict[str, Any]:
    """What the program makes of a command line."""
    program: Any = typer.main.get_command(application())
    words = shlex.split(line)
    assert words[0] == "rsbench"
    command, rest = program.commands[words[1]], words[2:]
    while hasattr(command, "commands"):
        command, rest = command.commands[rest[0]], rest[1:]
    return dict(command.make_context(words[1], rest).params)


@pytest.mark.parametrize("method", ["cohen", "ssn", "dssn"])
def test_a_certification_is_asked_for_as_it_was(method: str) -> None:
    run = a_run([0.5], images=445, method=method, seed=3, n=2500)
    spec = certification_of(run)
    command = command_of(run)
    asked = parsed(command.line)
    assert command.needs == ()
    assert (asked["dataset"], asked["checkpoint"]) == (spec.dataset, spec.checkpoint_sha256)
    assert (asked["batch_size"], asked["device"]) == (spec.batch_size, spec.device)
    assert canonical(choose_images(asked["images"], DIGITS.images)) == spec.images
    if spec.budget is None:
        assert asked["n"] is asked["seed"] is None
    else:
        assert asked["seed"] == spec.seed
        assert (asked["n0"], asked["n"]) == (spec.budget.n_select, spec.budget.n_estimate)
        assert asked["alpha"] == spec.budget.failure_probability


@pytest.mark.parametrize(
    "changes",
    [
        {"channels_last": True},
        {"precision": "bf16", "torch_compile": True, "mixed_devices": True},
        {"noise": "philox4x32-grid"},
        {},
    ],
)
def test_its_arithmetic_is_asked_for_as_it_was(changes: dict[str, Any]) -> None:
    run = a_run([0.5], images=445)
    spec = certification_of(run).model_copy(update=changes)
    asked = parsed(command_of(replace(run, spec=spec)).line)
    assert asked["noise_arithmetic"] == (None if spec.noise == "philox4x32-grid" else "float")
    assert (asked["precision"] or "fp32") == spec.precision
    assert asked["channels_last"] is spec.channels_last
    assert bool(asked["compile"]) is spec.torch_compile
    assert bool(asked["mixed_devices"]) is spec.mixed_devices


@pytest.mark.parametrize("option", ["all", "first:1", "first:2", "first:100", "every:2", "every:100", "every:444"])
def test_images_are_chosen_as_they_were(option: str) -> None:
    chosen = choose_images(option, 445)
    again = images_option(canonical(chosen), 445)
    assert again is not None
    assert choose_images(again, 445) == chosen


@pytest.mark.parametrize("indices", [(5,), (3, 4, 5), (0, 100, 200), (1, 2, 7), (0, 1, 3)])
def test_other_images_need_their_file(indices: tuple[int, ...]) -> None:
    text = canonical(indices)
    assert images_option(text, 445) is None
    run = a_run([0.5], images=len(indices), chosen=text)
    command = command_of(run)
    (need,) = command.needs
    assert need.startswith(f"{parsed(command.line)['images']}: ")
    assert str(indices[0]) in need
    assert str(indices[-1]) in need


def test_images_of_ones_own_are_needed_by_their_path() -> None:
    mine = replace(DIGITS, name="my images.npz")
    command = command_of(a_run([0.5], images=445, dataset=mine))
    assert parsed(command.line)["dataset"] == "my images.npz"
    assert command.needs == ("my images.npz: the file with the images, by its path",)


def test_a_curve_that_was_added_later_is_asked_for_as_it_was() -> None:
    run = a_run([0.5], images=445)
    assert run.curve is not None
    assert curve_command(run) is None
    added = replace(
        run.curve, is_primary=False, certificate="box", n=100, failure_probability=0.0001, statement="the plan's page 2"
    )
    line = curve_command(replace(run, curve=added))
    assert line is not None
    asked = parsed(line)
    assert asked["runs"] == [run.fingerprint]
    assert (asked["certificate"], asked["bounds"], asked["n"], asked["alpha"]) == (
        "box",
        "one-versus-rest",
        "100",
        "0.0001",
    )
    assert asked["declared"] == "the plan's page 2"


def imported(**changes: Any) -> tuple[ImportSpec, dict[str, Any], tuple[str, ...]]:
    spec = ImportSpec(
        source="tsv", content_sha256="ab" * 32, method="cohen", dataset="cifar10", dataset_fingerprint="c" * 64,
        images="0:445:1", family="gaussian", sigma=0.25, certificate="cohen", n_select=100, n_estimate=100_000,
        failure_probability=0.001,
    ).model_copy(update=changes)  # fmt: skip
    run = replace(a_run([0.5], images=445), spec=spec, source="noise 0.25.tsv")
    command = command_of(run)
    return spec, parsed(command.line), command.needs


def test_an_import_is_asked_for_as_it_was() -> None:
    spec, asked, needs = imported()
    assert [str(path) for path in asked["paths"]] == ["noise 0.25.tsv"]
    assert (asked["dataset"], asked["method"], asked["sigma"]) == ("cifar10", "cohen", 0.25)
    assert (asked["n0"], asked["n"], asked["alpha"]) == (100, 100_000, 0.001)
    assert asked["certificate"] is asked["measure"] is None
    assert (asked["classes"], asked["shape"], asked["q"]) == (10, "1,8,8", 16)
    assert needs == (f"noise 0.25.tsv: the file whose sha256 is {spec.content_sha256}",)


def test_an_import_of_another_method_says_its_theorem_and_measure() -> None:
    _, asked, _ = imported(method="denoised")
    assert (asked["certificate"], asked["measure"]) == ("cohen", "gaussian")
