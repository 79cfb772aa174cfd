"""`rsbench radius`: golden radii, the radii of runs, assumptions, and options that are refused."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rsbench.cli.main import run
from rsbench.specs import MeasureSpec
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts
from tests.fixtures.commands import refused

GOLDEN: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "theory" / "golden.json").read_text())

NAMES = {
    "cohen_l2": "cohen",
    "lecuyer_l2": "lecuyer",
    "li_l2": "li",
    "l1_lee_yang": "lee",
    "l1_box_log": "box-log",
    "l1_box_floor": "box",
    "l1_box_image": "box-image",
}


def calculated(arguments: str, capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The JSON that a calculation prints."""
    assert run(["radius", *arguments.split(), "--json"]) == 0
    captured = capfd.readouterr()
    assert captured.err == ""
    result: dict[str, Any] = json.loads(captured.out)
    assert result["schema"] == 1
    return result


def caps(x: list[str]) -> str:
    return ",".join(str(max(Fraction(value), 1 - Fraction(value))) for value in x)


def arguments_of(entry: dict[str, Any]) -> str:
    """The command line that asks for a golden radius."""
    inputs = entry["inputs"]
    words = [NAMES[entry["fn"]], "--pa", inputs["pA"]]
    words += [] if inputs["pB"] is None else ["--pb", inputs["pB"]]
    words += ["--sigma", inputs["sigma"]] if "sigma" in inputs else ["--half-width", inputs["lam"]]
    words += ["--dim", str(inputs["d"])] if inputs.get("d") is not None else []
    words += ["--caps", caps(inputs["x"])] if "x" in inputs else []
    return " ".join(words)


def assert_golden(radius: float | str | None, golden: str | None) -> None:
    if golden in (None, "inf"):
        assert radius == golden
    else:
        assert isinstance(radius, float)
        # Reached to within 10⁻¹², and never exceeded.
        assert 0 <= Fraction(golden) - Fraction(radius) <= Fraction(golden) / 10**12


@pytest.mark.parametrize(
    "entry", [e for e in GOLDEN if e["fn"] in NAMES and e["value"] != "undefined(2*lambda<=1)"], ids=lambda e: e["id"]
)
def test_probabilities_give_the_golden_radius(entry: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    result = calculated(arguments_of(entry), capfd)
    assert_golden(result["radius"], entry["value"])
    assert result["bounds"]["procedure"] == "given"
    # The bound of the runner-up is at most 1 − pA.
    assert result["bounds"]["pb"] <= 1 - result["bounds"]["pa"] + 2**-52


@pytest.mark.parametrize("entry", [e for e in GOLDEN if e["fn"] == "cohen_certify_counts"], ids=lambda e: e["id"])
def test_votes_give_the_golden_radius(entry: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    given = entry["inputs"]
    votes = f"{given['k']},{given['n'] - given['k']}"
    result = calculated(f"cohen --votes {votes} --alpha {given['alpha']} --sigma {given['sigma']}", capfd)
    assert_golden(result["radius"], entry["value"])
    assert result["n"] == given["n"]
    assert result["failure_probability"] == float(given["alpha"])


@pytest.mark.parametrize("entry", [e for e in GOLDEN if e["fn"] == "dssn"], ids=lambda e: e["id"])
def test_the_votes_of_all_splits_give_the_golden_steps(
    entry: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    votes = ",".join(map(str, entry["inputs"]["votes"]))
    result = calculated(f"dssn --votes {votes} --q {entry['inputs']['q']}", capfd)
    assert result["predicted"] == int(entry["value"]["cls"])
    assert result["steps"] == int(entry["value"]["k"])
    exact = Fraction(entry["value"]["rho"])
    assert 0 <= exact - Fraction(result["radius"]) <= exact * Fraction(1, 2**52)
    assert (result["ball"], result["bounds"]) == ("closed", None)


@pytest.mark.parametrize("name", [name for name in CERTIFICATES if name != "dssn"])
@pytest.mark.parametrize("procedure", ["one-versus-rest", "top-two"])
def test_votes_give_the_radius_that_a_run_stores_bit_by_bit(
    name: str, procedure: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    certificate = CERTIFICATES[name]
    family = next(iter(certificate.threat_models))
    selection_NK, estimation_NK = np.array([[0, 9, 1]]), np.array([[20, 930, 50]])
    facts = ImageFacts(dims=3 if name == "box" else None, caps_ND=np.array([[0.75, 0.5, 1.0]]))
    verdicts = certificate.certify(
        selection_NK, estimation_NK, MeasureSpec(family=family, sigma=0.7),
        failure_probability=0.001, procedure=procedure, images=facts,
    )  # fmt: skip
    extra = {"box": "--dim 3", "box-image": "--caps 0.75,0.5,1"}.get(name, "")
    result = calculated(
        f"{name} --votes 20,930,50 --selected 1 --alpha 0.001 --sigma 0.7 --bounds {procedure} {extra}", capfd
    )
    assert result["radius"] == verdicts.radius_N[0]
    assert result["predicted"] == 1
    assert result["bounds"]["procedure"] == procedure
    assert result["assumed"] == []


def test_the_class_is_the_selected_one(capfd: pytest.CaptureFixture[str]) -> None:
    # Class 0 has the votes, but class 2 was selected, and its votes certify nothing.
    result = calculated("lee --votes 950,30,20 --selected 2 --alpha 0.001 --sigma 1", capfd)
    assert (result["radius"], result["predicted"], result["selected"]) == (None, None, 2)


def test_without_a_selected_class_the_result_states_its_assumption(capfd: pytest.CaptureFixture[str]) -> None:
    result = calculated("lee --votes 950,30,20 --alpha 0.001 --sigma 1", capfd)
    assert result["predicted"] == 0
    assert result["assumed"] == [
        "other votes than these selected class 0; if these votes did, this is a certificate at twice this alpha"
    ]


def test_the_measure_determines_the_threat_model(capfd: pytest.CaptureFixture[str]) -> None:
    command = "lee --pa 0.9 --half-width 1"
    assert calculated(command, capfd)["threat_model"] == "all of R^d for uniform; the box [0,1]^d for splitting"
    assert calculated(f"{command} --measure splitting", capfd)["threat_model"] == "the box [0,1]^d"
    assert calculated(f"{command} --measure uniform", capfd)["threat_model"] == "all of R^d"


def test_an_l2_radius_with_the_dimension_gives_the_l_infinity_radius(capfd: pytest.CaptureFixture[str]) -> None:
    result = calculated("cohen --pa 0.9 --sigma 1 --dim 4", capfd)
    assert result["linf_radius"] <= result["radius"] / 2
    assert result["linf_radius"] == pytest.approx(result["radius"] / 2, rel=1e-14)


def test_a_picture_and_an_array_give_the_caps_of_their_pixels(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pixels_HW = np.array([[0, 51], [255, 204]], dtype=np.uint8)
    Image.fromarray(pixels_HW).save(tmp_path / "grey.png")
    np.save(tmp_path / "bytes.npy", pixels_HW)
    np.save(tmp_path / "floats.npy", pixels_HW / 255)
    np.save(tmp_path / "fifths.npy", np.array([[0, 1], [5, 4]]))
    command = "box-image --pa 0.97 --half-width 1"
    expected = calculated(f"{command} --caps 1,4/5,1,4/5", capfd)["radius"]
    for file in ("grey.png", "bytes.npy", "floats.npy"):
        assert calculated(f"{command} --image {tmp_path / file}", capfd)["radius"] == expected
    assert calculated(f"{command} --image {tmp_path / 'fifths.npy'} --q 5", capfd)["radius"] == expected


def test_the_list_states_the_conditions_of_every_certificate(capfd: pytest.CaptureFixture[str]) -> None:
    listed = {line["name"]: line for line in calculated("--list", capfd)["certificates"]}
    assert set(listed) == set(CERTIFICATES)
    assert listed["box"]["threat_models"] == {"uniform": "the box [0,1]^d", "splitting": "the box [0,1]^d"}
    assert run(["radius", "--list"]) == 0
    printed = capfd.readouterr().out
    for certificate in CERTIFICATES.values():
        for text in (certificate.name, certificate.threat_model, certificate.condition, certificate.source):
            assert text in printed


def test_the_text_for_people(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["radius", "box", "--votes", "950,30,20", "--alpha", "0.001", "--sigma", "1"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "radius              1.664120235 for class 0"
    assert lines[1:3] == ["ball                open, l1", "holds on            the box [0,1]^d"]
    assert run(["radius", "lee", "--pa", "0.4", "--sigma", "1"]) == 0
    assert capfd.readouterr().out.startswith("radius              abstain")
    assert run(["radius", "box", "--pa", "1", "--sigma", "2", "--dim", "2"]) == 0
    assert capfd.readouterr().out.startswith("radius              the whole box")
    assert run(["radius", "cohen", "--pa", "1", "--sigma", "2"]) == 0
    assert capfd.readouterr().out.startswith("radius              unbounded")


def test_a_calculator_loads_neither_torch_nor_ray_nor_a_database() -> None:
    program = (
        "import sys; from rsbench.cli.main import run; "
        "code = run(['radius', 'box', '--votes', '950,30,20', '--alpha', '0.001', '--sigma', '1']); "
        "heavy = {'torch', 'ray', 'sqlalchemy', 'pandas', 'statsmodels', 'PIL'} & set(sys.modules); "
        "sys.exit(code or ' '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


VOTES = "--votes 950,30,20 --alpha 0.001 --sigma 1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "",
            "the name of a certificate is missing: choose from cohen, lecuyer, li, lee, box-log, box, box-image",
        ),
        ("cohn", "unknown certificate 'cohn': choose from cohen,"),
        ("cohen", "cohen needs --votes and --alpha, or --pa"),
        ("cohen --pa 0.9", "cohen needs --sigma"),
        ("lee --pa 0.9", "lee needs --sigma or --half-width"),
        ("lee --votes 9,1 --sigma 1", "--votes needs --alpha"),
        ("lee --votes 9,x --alpha 0.1 --sigma 1", "--votes 9,x: 'x' is not a whole number of votes"),
        ("lee --votes 9,-1 --alpha 0.1 --sigma 1", "votes must not be negative, got -1"),
        ("lee --votes 9 --alpha 0.1 --sigma 1", "at least two classes, got 1"),
        ("lee --votes 0,0 --alpha 0.1 --sigma 1", "every image needs the same number of votes"),
        ("lee --votes 9000000000,1 --alpha 0.1 --sigma 1", "fewer than 2³¹ votes"),
        (f"lee {VOTES} --n 2000", "the votes of an image sum to 1000, but n = 2000 was given"),
        (f"lee {VOTES} --classes 2", "the votes are of 3 classes, but the dataset has 2"),
        (f"lee {VOTES} --selected 3", "--selected 3: the votes are of the classes 0 to 2"),
        (f"lee {VOTES} --selected=-1", "--selected -1: the votes are of the classes 0 to 2"),
        (f"lee {VOTES} --bounds hoeffding", "--bounds hoeffding: choose from one-versus-rest, top-two"),
        (f"lee {VOTES} --pa 0.9", "--votes and --pa exclude each other"),
        (f"lee {VOTES} --half-width 1", "--sigma and --half-width exclude each other"),
        ("lee --votes 9,1 --alpha 1 --sigma 1", "the failure probability α must lie in (0, 1), got 1.0"),
        ("lee --pa 0.9 --alpha 0.1 --sigma 1", "--alpha belongs to --votes, and there are none"),
        ("lee --pa 1.1 --sigma 1", "pA must be a probability in [0, 1], got 1.1"),
        ("lee --pa=-0.1 --sigma 1", "pA must be a probability in [0, 1], got -0.1"),
        ("lee --pa 0.9 --pb 1.1 --sigma 1", "pB must be a probability in [0, 1], got 1.1"),
        ("lee --pb 0.1 --sigma 1", "lee needs --votes and --alpha, or --pa"),
        ("lee --pa nan --sigma 1", "--pa nan: give a decimal number or a fraction"),
        ("lee --pa 1/0 --sigma 1", "--pa 1/0: the denominator is 0"),
        ("lee --pa 1e999 --sigma 1", "--pa 1e999: too large for a number"),
        ("lee --pa 0.9 --sigma 0", "λ must be a positive number, got 0"),
        ("cohen --pa 0.9 --sigma=-1", "σ must be a positive number, got -1"),
        ("cohen --pa 0.9 --pb 0 --sigma 1", "pB = 0 beside pA < 1 is a plugged-in frequency"),
        ("cohen --pa 0.9 --half-width 1", "cohen takes no --half-width: it takes --votes,"),
        ("cohen --pa 0.9 --sigma 1 --dim 0", "at least 1 pixel, got 0"),
        ("lee --pa 0.9 --sigma 1 --dim 3", "lee takes no --dim"),
        ("box-log --pa 0.9 --half-width 0.5", "box-log needs 2λ > 1, got λ = 0.5"),
        ("box --pa 0.9 --sigma 1 --dim=-1", "at least 1 pixel, got -1"),
        ("box-image --pa 0.9 --sigma 1", "box-image needs each image's caps"),
        ("box-image --pa 0.9 --sigma 1 --caps 0.4,1", "lies in [½, 1], got 0.4"),
        ("box-image --pa 0.9 --sigma 1 --caps 1.01", "lies in [½, 1], got 1.01"),
        ("box-image --pa 0.9 --sigma 1 --caps 1 --image a.png", "--image and --caps exclude each other"),
        ("box-image --pa 0.9 --sigma 1 --caps 1 --q 255", "--q belongs to --image"),
        ("box-image --pa 0.9 --sigma 1 --image missing.png", "missing.png cannot be read as a picture"),
        ("dssn --votes 10,0", "dssn needs the --votes of all its splits, and --q"),
        ("dssn --votes 10,0 --q 0", "q, the number of quantisation steps, must lie in 1..65535, got 0"),
        ("dssn --votes 10,0 --q 255 --sigma 0.25", "--sigma 0.25 and --q 255 make 220 splits, not 10 votes"),
        ("dssn --votes 10,0 --q 255 --alpha 0.1", "dssn takes no --alpha"),
        ("dssn --votes 10,0 --q 4 --measure uniform", "dssn does not hold for uniform smoothing: Levine & Feizi 2021"),
        ("box --pa 0.9 --sigma 1 --measure deterministic-splitting", "needs noise independent across coordinates"),
        ("cohen --pa 0.9 --sigma 1 --measure uniform", "cohen does not hold for uniform smoothing"),
        ("lee --pa 0.9 --sigma 1 --measure dssn", "--measure dssn: choose from gaussian, uniform, splitting,"),
    ],
)
def test_bad_input_gets_one_line(arguments: str, message: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert message in refused(f"radius {arguments}".strip(), capfd)
