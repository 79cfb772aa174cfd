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
def test_the_command_of_a_certification_has_its_options(method: str) -> None:
    run = a_run([0.5], images=445, method=method, seed=3, n=2500)
    spec = certification_of(run)
    command = command_of(run)
    options = parsed(command.line)
    assert command.needs == ()
    assert (options["dataset"], options["checkpoint"]) == (spec.dataset, spec.checkpoint_sha256)
    assert (options["batch_size"], options["device"]) == (spec.batch_size, spec.device)
    assert canonical(choose_images(options["images"], DIGITS.images)) == spec.images
    if spec.budget is None:
        assert options["n"] is options["seed"] is None
    else:
        assert options["seed"] == spec.seed
        assert (options["n0"], options["n"]) == (spec.budget.n_select, spec.budget.n_estimate)
        assert options["alpha"] == spec.budget.failure_probability


@pytest.mark.parametrize(
    "changes",
    [
        {"channels_last": True},
        {"precision": "bf16", "torch_compile": True, "mixed_devices": True},
        {"noise": "philox4x32-grid"},
        {},
    ],
)
def test_the_command_has_the_arithmetic_of_the_run(changes: dict[str, Any]) -> None:
    run = a_run([0.5], images=445)
    spec = certification_of(run).model_copy(update=changes)
    options = parsed(command_of(replace(run, spec=spec)).line)
    assert options["noise_arithmetic"] == (None if spec.noise == "philox4x32-grid" else "float")
    assert (options["precision"] or "fp32") == spec.precision
    assert options["channels_last"] is spec.channels_last
    assert bool(options["compile"]) is spec.torch_compile
    assert bool(options["mixed_devices"]) is spec.mixed_devices


@pytest.mark.parametrize("option", ["all", "first:1", "first:2", "first:100", "every:2", "every:100", "every:444"])
def test_the_command_chooses_the_same_images(option: str) -> None:
    chosen = choose_images(option, 445)
    again = images_option(canonical(chosen), 445)
    assert again is not None
    assert choose_images(again, 445) == chosen


@pytest.mark.parametrize("indices", [(5,), (3, 4, 5), (0, 100, 200), (1, 2, 7), (0, 1, 3)])
def test_images_without_an_option_need_a_file_of_indices(indices: tuple[int, ...]) -> None:
    text = canonical(indices)
    assert images_option(text, 445) is None
    run = a_run([0.5], images=len(indices), chosen=text)
    command = command_of(run)
    (need,) = command.needs
    assert need.startswith(f"{parsed(command.line)['images']}: ")
    assert str(indices[0]) in need
    assert str(indices[-1]) in need


def test_a_dataset_file_is_needed_by_its_path() -> None:
    mine = replace(DIGITS, name="my images.npz")
    command = command_of(a_run([0.5], images=445, dataset=mine))
    assert parsed(command.line)["dataset"] == "my images.npz"
    assert command.needs == ("my images.npz: the file with the images; give its path",)


def test_the_command_of_an_added_curve_has_its_options() -> None:
    run = a_run([0.5], images=445)
    assert run.curve is not None
    assert curve_command(run) is None
    added = replace(
        run.curve, is_primary=False, certificate="box", n=100, failure_probability=0.0001, statement="the plan's page 2"
    )
    line = curve_command(replace(run, curve=added))
    assert line is not None
    options = parsed(line)
    assert options["runs"] == [run.fingerprint]
    assert (options["certificate"], options["bounds"], options["n"], options["alpha"]) == (
        "box",
        "one-versus-rest",
        "100",
        "0.0001",
    )
    assert options["declared"] == "the plan's page 2"


def imported(**changes: Any) -> tuple[ImportSpec, dict[str, Any], tuple[str, ...]]:
    spec = ImportSpec(
        source="tsv", content_sha256="ab" * 32, method="cohen", dataset="cifar10", dataset_fingerprint="c" * 64,
        images="0:445:1", family="gaussian", sigma=0.25, certificate="cohen", n_select=100, n_estimate=100_000,
        failure_probability=0.001,
    ).model_copy(update=changes)  # fmt: skip
    run = replace(a_run([0.5], images=445), spec=spec, source="noise 0.25.tsv")
    command = command_of(run)
    return spec, parsed(command.line), command.needs


def test_the_command_of_an_import_has_its_options() -> None:
    spec, options, needs = imported()
    assert [str(path) for path in options["paths"]] == ["noise 0.25.tsv"]
    assert (options["dataset"], options["method"], options["sigma"]) == ("cifar10", "cohen", 0.25)
    assert (options["n0"], options["n"], options["alpha"]) == (100, 100_000, 0.001)
    assert options["certificate"] is options["measure"] is None
    assert (options["classes"], options["shape"], options["q"]) == (10, "1,8,8", 16)
    assert needs == (f"noise 0.25.tsv: the file whose sha256 is {spec.content_sha256}",)


def test_the_command_of_an_import_of_an_unregistered_method_gives_certificate_and_measure() -> None:
    _, options, _ = imported(method="denoised")
    assert (options["certificate"], options["measure"]) == ("cohen", "gaussian")
