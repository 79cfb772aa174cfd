"""Certification from end to end on real images: choice of checkpoints, resumption, seals, and everything refused."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rsbench.certification.plan import batch_count
from rsbench.certification.voting import CertificationWork, ChunkVoter, merge_parts
from rsbench.cluster.scheduler import CountChunks, vote_counting
from rsbench.data.dataset import ImageDataset
from rsbench.data.npz import load_npz
from rsbench.errors import CheckpointError, UsageError
from rsbench.jobs.certify import certify_without_store, check_runs, run_certification
from rsbench.jobs.checkpoints import check_suits, load_file, load_registered, save_checkpoint
from rsbench.jobs.estimate import missing_chunks
from rsbench.jobs.options import CertifyOptions, CheckpointDescription
from rsbench.jobs.planning import PlannedRun, choose_checkpoints, plan_reference, plan_run
from rsbench.models.architectures import build_backbone
from rsbench.models.checkpoint import BaseClassifier, Checkpoint
from rsbench.recertification import CurveRequest, compute_images, decoded
from rsbench.records import Chunk, ChunkVotes, Votes
from rsbench.store.store import Store
from rsbench.theory.catalogue import CERTIFICATES
from rsbench.theory.certificate import ImageFacts
from rsbench.votes_format import decode_votes
from tests.fixtures.trained import Interrupter, Listener, store_with, stored_rows

OPTIONS = CertifyOptions(images="first:60", n_select=64, n_estimate=250)
NOTHING = CheckpointDescription()


def certify(store: Store, dataset: ImageDataset, checkpoint: Checkpoint, *, workers: int = 0) -> Listener:
    listener = Listener()
    plan = plan_run(checkpoint, "x", dataset, OPTIONS)
    run_certification(store, dataset, [plan], workers=workers, listener=listener)
    return listener


@pytest.mark.parametrize("method", ["uniform", "dssn"])
def test_without_a_store_the_rows_are_those_that_a_store_keeps(
    method: str, trained: dict[str, Checkpoint], digits: ImageDataset, tmp_path: Path
) -> None:
    with store_with(tmp_path, digits, trained[method]) as store:
        certify(store, digits, trained[method])
        kept = store.image_columns(store.sealed_runs()[0].id, with_votes=True)
    plan = plan_run(trained[method], "x", digits, OPTIONS)
    images = certify_without_store(digits, plan, workers=0, listener=(listener := Listener()))
    for name in ("index_N", "label_N", "predicted_N", "radius_N"):
        np.testing.assert_array_equal(getattr(images, name), getattr(kept, name))
    assert images.votes == kept.votes
    assert (listener.done, listener.lines[-1]) == (60, "end")


@pytest.mark.parametrize(("certificate", "procedure"), [("box", "top-two"), ("lee", "top-two"), ("box-log", None)])
def test_the_declared_certificate_and_bounds_give_the_radii_of_a_recertification(
    certificate: str, procedure: Any, trained: dict[str, Checkpoint], digits: ImageDataset
) -> None:
    options = replace(OPTIONS, certificate=certificate, procedure=procedure)
    declared = plan_run(trained["uniform"], "x", digits, options)
    plain = plan_run(trained["uniform"], "x", digits, OPTIONS)
    images, votes = (certify_without_store(digits, plan, workers=0, listener=Listener()) for plan in (declared, plain))
    assert images.votes == votes.votes
    expected = compute_images(
        decoded(votes), CurveRequest(certificate, procedure or "one-versus-rest", 250, 0.001),
        measure=plain.spec.measure, dataset=digits.info,
    )  # fmt: skip
    np.testing.assert_array_equal(images.radius_N, expected.radius_N)
    np.testing.assert_array_equal(images.predicted_N, expected.predicted_N)
    assert (images.radius_N != votes.radius_N).any()


@pytest.mark.parametrize("method", ["cohen", "uniform", "ssn", "dssn"])
def test_a_sealed_run_holds_the_votes_that_its_certificate_turns_into_its_radii(
    method: str, trained: dict[str, Checkpoint], digits: ImageDataset, tmp_path: Path
) -> None:
    with store_with(tmp_path, digits, trained[method]) as store:
        certify(store, digits, trained[method])
        [run] = store.sealed_runs()
        rows = store.image_columns(run.id, with_votes=True)
    assert rows.votes is not None
    votes = Votes(decode_votes(rows.votes), ())
    verdicts = CERTIFICATES[run.certificate].certify(
        votes.selection_NK,
        votes.estimation_NK,
        trained[method].header.measure,
        images=ImageFacts(q=16),
        failure_probability=run.failure_probability,
    )
    assert rows.label_N.tolist() == digits.labels_N[:60].tolist()
    assert (rows.predicted_N < 0).tolist() == verdicts.abstained_N.tolist()
    assert rows.radius_N.tolist() == verdicts.radius_N.tolist()
    assert run.curve is not None
    # By chance 21 or more of 60 are right with a probability below 1e-7.
    assert run.curve.correct > 20


def test_the_same_run_again_does_nothing(trained: dict[str, Checkpoint], digits: ImageDataset, tmp_path: Path) -> None:
    with store_with(tmp_path, digits, trained["ssn"]) as store:
        certify(store, digits, trained["ssn"])
        before = stored_rows(store)
        again = certify(store, digits, trained["ssn"])
        assert again.done == 0
        assert again.lines == []
        assert stored_rows(store) == before


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_an_interrupted_run_resumes_to_the_rows_of_one_never_interrupted(
    workers: int, trained: dict[str, Checkpoint], digits: ImageDataset, tmp_path: Path, ray_nodes: str
) -> None:
    plan = plan_run(trained["uniform"], "x", digits, replace(OPTIONS, images="all"))
    with store_with(tmp_path / "whole", digits, trained["uniform"]) as store:
        run_certification(store, digits, [plan], workers=0, listener=Listener())
        whole = stored_rows(store)
    with store_with(tmp_path / "cut", digits, trained["uniform"]) as store:
        with pytest.raises(KeyboardInterrupt):
            run_certification(store, digits, [plan], workers=workers, listener=Interrupter(after=100))
        assert store.sealed_runs() == []
        left = sum(len(chunk.indices) for chunk in missing_chunks(store, plan.spec))
        assert 0 < left < 445
        listener = Listener()
        run_certification(store, digits, [plan], workers=workers, listener=listener)
        assert listener.done == left
        assert stored_rows(store) == whole


def test_a_run_whose_images_are_all_there_is_only_sealed(
    trained: dict[str, Checkpoint], digits: ImageDataset, tmp_path: Path
) -> None:
    """As when the machine went down between the last chunk and the seal."""
    with store_with(tmp_path, digits, trained["dssn"]) as store:
        plan = plan_run(trained["dssn"], "x", digits, OPTIONS)
        with pytest.raises(KeyboardInterrupt):
            run_certification(store, digits, [plan], workers=0, listener=Interrupter(after=60))
        assert missing_chunks(store, plan.spec) == []
        assert store.sealed_runs() == []
        run_certification(store, digits, [plan], workers=0, listener=Listener())
        assert len(store.sealed_runs()) == 1


def test_checkpoints_are_chosen_by_file_by_id_by_method_and_by_having_no_run(
    trained: dict[str, Checkpoint], digits: ImageDataset, tmp_path: Path
) -> None:
    def chosen(store: Store, description: CheckpointDescription = NOTHING, checkpoint: str | None = None) -> set[str]:
        return {
            c.header.method for c in choose_checkpoints(store, tmp_path, digits, description, checkpoint=checkpoint)
        }

    with store_with(tmp_path, digits, trained["ssn"], trained["cohen"]) as store:
        file = save_checkpoint(trained["uniform"], tmp_path / "elsewhere")
        assert chosen(store, checkpoint=str(file)) == {"uniform"}
        assert chosen(store, checkpoint=trained["ssn"].sha256[:8]) == {"ssn"}
        assert chosen(store, CheckpointDescription(method="cohen")) == {"cohen"}
        assert chosen(store) == {"ssn", "cohen"}
        certify(store, digits, trained["ssn"])
        assert chosen(store) == {"cohen"}
        certify(store, digits, trained["cohen"])
        with pytest.raises(UsageError, match="every known checkpoint of digits has a sealed run"):
            chosen(store)
        with pytest.raises(UsageError, match=r"no checkpoint of dssn of digits is known.*rsbench sweep --method dssn"):
            chosen(store, CheckpointDescription(method="dssn"))
        assert chosen(store, CheckpointDescription(method="ssn", architecture="mlp")) == {"ssn"}
        with pytest.raises(UsageError, match=r"known with --architecture cnn: .* --dataset digits --architecture cnn"):
            chosen(store, CheckpointDescription(method="ssn", architecture="cnn"))
        with pytest.raises(UsageError, match="unknown architecture 'vgg'"):
            chosen(store, CheckpointDescription(method="ssn", architecture="vgg"))
        with pytest.raises(UsageError, match="no checkpoint of ssn at sigma 3 of digits"):
            chosen(store, CheckpointDescription(method="ssn", sigma=3.0))
        with pytest.raises(UsageError, match="there is no such file, and 0 checkpoints of the store"):
            chosen(store, checkpoint="0123456789")


def test_a_checkpoint_is_read_when_its_run_begins_and_not_for_a_sealed_run(
    trained: dict[str, Checkpoint], digits: ImageDataset, tmp_path: Path
) -> None:
    """Many planned runs do not hold many checkpoints in memory, and a finished run needs no file."""
    loaded: list[str] = []

    def lazily(plan: PlannedRun) -> PlannedRun:
        def load() -> BaseClassifier:
            loaded.append(plan.checkpoint.sha256)
            return plan.checkpoint.load()

        return replace(plan, checkpoint=replace(plan.checkpoint, load=load))

    planned = [lazily(plan_run(trained[method], "x", digits, OPTIONS)) for method in ("ssn", "dssn")]
    with store_with(tmp_path, digits, trained["ssn"], trained["dssn"]) as store:
        assert loaded == []
        run_certification(store, digits, planned[:1], workers=0, listener=Listener())
        assert loaded == [trained["ssn"].sha256]
        run_certification(store, digits, planned, workers=0, listener=Listener())
        assert loaded == [trained["ssn"].sha256, trained["dssn"].sha256]
        for file in (tmp_path / "checkpoints").iterdir():
            file.unlink()
        described = CheckpointDescription(method="ssn")
        [reference] = choose_checkpoints(store, tmp_path, digits, described, checkpoint=None)
        [finished] = run_certification(
            store, digits, [plan_reference(reference, digits, OPTIONS)], workers=0, listener=Listener()
        )
        assert finished.new_images == 0
        other = [plan_reference(reference, digits, replace(OPTIONS, noise_seed=5))]
        with pytest.raises(CheckpointError, match="is no longer at"):
            check_runs(store, digits, other, allow_guessing=True)


def test_an_empty_store_says_what_to_do(digits: ImageDataset, tmp_path: Path) -> None:
    with store_with(tmp_path, digits) as store, pytest.raises(UsageError, match="rsbench sweep --method dssn"):
        choose_checkpoints(store, tmp_path, digits, NOTHING, checkpoint=None)


def test_a_checkpoint_of_another_data_set_method_or_sigma_is_refused(
    trained: dict[str, Checkpoint], digits: ImageDataset, tmp_path: Path
) -> None:
    np.savez(
        tmp_path / "other.npz", test_images=np.zeros((20, 1, 8, 8), np.uint8), test_labels=np.arange(20) % 10, q=16
    )
    with pytest.raises(CheckpointError, match=r"belongs to digits .*, not to other"):
        check_suits(trained["ssn"], load_npz(tmp_path / "other.npz"), NOTHING)
    with pytest.raises(CheckpointError, match="was trained by ssn, not by dssn"):
        check_suits(trained["ssn"], digits, CheckpointDescription(method="dssn"))
    with pytest.raises(CheckpointError, match=r"at sigma 0.5, not at 1"):
        check_suits(trained["ssn"], digits, CheckpointDescription(sigma=1.0))
    check_suits(trained["ssn"], digits, CheckpointDescription(method="ssn", sigma=0.5))


def test_a_checkpoint_file_that_is_gone_or_changed_is_refused(
    trained: dict[str, Checkpoint], digits: ImageDataset, tmp_path: Path
) -> None:
    with store_with(tmp_path, digits, trained["ssn"]) as store:
        [record] = store.checkpoints()
    assert load_registered(record, tmp_path).sha256 == trained["ssn"].sha256
    file = Path(record.path)
    file.write_bytes(file.read_bytes()[:-4] + b"0000")
    with pytest.raises(CheckpointError, match="no longer holds checkpoint"):
        load_registered(record, tmp_path)
    file.unlink()
    with pytest.raises(CheckpointError, match="name its file with --checkpoint"):
        load_registered(record, tmp_path)


def test_an_external_file_needs_its_noise_named_and_is_then_certified(digits: ImageDataset, tmp_path: Path) -> None:
    file = external_file(tmp_path)
    with pytest.raises(UsageError, match="name it with --method and --sigma"):
        load_file(file, digits, NOTHING)
    with pytest.raises(UsageError, match="unknown architecture 'vit'"):
        load_file(file, digits, CheckpointDescription(method="uniform", sigma=0.5, architecture="vit"))
    checkpoint = load_file(file, digits, CheckpointDescription(method="uniform", sigma=0.5, normalisation="dataset"))
    with store_with(tmp_path, digits) as store:
        certify(store, digits, checkpoint)
        [run] = store.sealed_runs()
    assert run.training_seed is None
    assert run.done == 60


def test_the_description_of_an_external_file_is_part_of_its_identity(digits: ImageDataset, tmp_path: Path) -> None:
    """The same weights with another measure, normalisation or dataset are another base classifier."""
    file = external_file(tmp_path)
    shifted = tmp_path / "shifted.npz"
    np.savez(shifted, test_images=np.full((10, 1, 8, 8), 9, np.uint8), test_labels=np.arange(10), q=16)
    other = load_npz(shifted)
    description = CheckpointDescription(method="uniform", sigma=0.5, normalisation="none")
    checkpoints = [
        load_file(file, digits, description),
        load_file(file, digits, replace(description, method="cohen")),
        load_file(file, digits, replace(description, normalisation="dataset")),
        load_file(file, other, description),
    ]
    assert len({checkpoint.sha256 for checkpoint in checkpoints}) == 4
    with pytest.raises(CheckpointError, match=r"belongs to digits .*, not to shifted.npz"):
        check_suits(checkpoints[0], other, NOTHING)


def external_file(folder: Path) -> Path:
    file = folder / "network.pt"
    torch.manual_seed(0)
    torch.save({"state_dict": build_backbone("mlp", 10, (1, 8, 8)).state_dict()}, file)
    return file


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_estimate": 9}, r"--n 9 certifies no image at --alpha 0.001.*: give at least 10"),
        ({"n_estimate": 0}, r"--n must be at least 1 \(got 0\)"),
        ({"failure_probability": 1e-9, "n_estimate": 20}, r"--n 20 certifies no image.*: give at least 30"),
        ({"n_select": 0}, r"--n0 must be at least 1 \(got 0\)"),
        ({"n_select": 2**31}, r"--n0 must be less than 2,147,483,648 \(got 2,147,483,648\)"),
        ({"failure_probability": 0.0}, "--alpha 0 is not a failure probability"),
        ({"failure_probability": 1.5}, "--alpha 1.5 is not a failure probability"),
        ({"images": "first:446"}, "the dataset has only 445 images"),
        ({"batch_size": -1}, r"--batch-size must lie between 1 and 1,000,000 \(got -1\)"),
        ({"noise_seed": -1}, r"--seed must lie between 0 and 4294967295 \(got -1\)"),
        ({"certificate": "nosuch"}, "--certificate nosuch is unknown: choose from cohen"),
    ],
)
def test_options_that_can_certify_nothing_are_refused(
    options: dict[str, Any], message: str, trained: dict[str, Checkpoint], digits: ImageDataset
) -> None:
    with pytest.raises(UsageError, match=message):
        plan_run(trained["ssn"], "x", digits, replace(OPTIONS, **options))


def test_chunks_of_two_kinds_of_device_are_refused_unless_asked_for(
    trained: dict[str, Checkpoint], digits: ImageDataset, tmp_path: Path
) -> None:
    """The second half comes from a device that calls itself another; what is stored before stays."""

    @contextmanager
    def two_kinds(workers: int, device: str) -> Iterator[CountChunks]:
        with vote_counting(workers, device) as count:

            def counted(*asked: Any) -> Iterator[Sequence[ChunkVotes]]:
                for number, [votes] in enumerate(count(*asked)):
                    yield [votes if number < 2 else replace(votes, devices=frozenset({"another"}))]

            yield counted

    whole = plan_run(trained["ssn"], "x", digits, OPTIONS)
    plan = replace(whole, spec=whole.spec.model_copy(update={"chunk_images": 20}))
    with store_with(tmp_path, digits, trained["ssn"]) as store:
        with pytest.raises(UsageError, match=r"images 40 to 59 come from another kind of device .*another; cpu"):
            run_certification(store, digits, [plan], workers=0, listener=Listener(), counting=two_kinds)
        [run] = store.incomplete_runs()
        assert run.done == 40
        # What is resumed on the first kind ends well, and bears no mark.
        run_certification(store, digits, [plan], workers=0, listener=Listener())
        mixed = replace(plan, spec=plan.spec.model_copy(update={"mixed_devices": True}))
        run_certification(store, digits, [mixed], workers=0, listener=Listener(), counting=two_kinds)
        one, several = sorted(store.sealed_runs(), key=lambda found: found.id)
        assert one.notes == ()
        assert several.notes == ("computed on devices of several kinds, or allowed to be",)
        assert [made.device for made in store.details(several.id).provenances][1:] == ["another"]


def test_parts_of_a_chunk_from_two_kinds_of_device_are_refused_too(
    trained: dict[str, Checkpoint], digits: ImageDataset, tmp_path: Path
) -> None:
    @contextmanager
    def shared(workers: int, device: str) -> Iterator[CountChunks]:
        def counted(work: CertificationWork, chunks: Iterable[Chunk], load: Any) -> Iterator[Sequence[ChunkVotes]]:
            counter = ChunkVoter(work)
            for chunk in chunks:
                parts = [counter.count(chunk, load(chunk.indices), part) for part in (range(3), range(3, 19))]
                yield [merge_parts([parts[0], replace(parts[1], devices=frozenset({"another"}))])]

        yield counted

    plan = plan_run(trained["ssn"], "x", digits, OPTIONS)
    assert batch_count(plan.spec, 60) == 19
    with store_with(tmp_path, digits, trained["ssn"]) as store:
        with pytest.raises(UsageError, match=r"images 0 to 59 come from another kind of device .*another; cpu"):
            run_certification(store, digits, [plan], workers=0, listener=Listener(), counting=shared)
        [run] = store.incomplete_runs()
        assert run.done == 0


def test_dssn_needs_no_budget_and_ignores_the_noise_seed(trained: dict[str, Checkpoint], digits: ImageDataset) -> None:
    plans = [plan_run(trained["dssn"], "x", digits, replace(OPTIONS, noise_seed=seed)) for seed in (None, 7)]
    assert plans[0].spec.budget is None
    assert plans[0].spec == plans[1].spec


def test_images_on_no_grid_have_no_dssn_certificate(tmp_path: Path, trained: dict[str, Checkpoint]) -> None:
    images = np.random.default_rng(0).random((20, 1, 8, 8), dtype=np.float32)
    np.savez(tmp_path / "floats.npz", test_images=images, test_labels=np.arange(20) % 10)
    dataset = load_npz(tmp_path / "floats.npz")
    file = tmp_path / "network.pt"
    torch.save(build_backbone("mlp", 10, dataset.info.shape).state_dict(), file)
    with pytest.raises(UsageError, match="needs images on a grid k/q, and these lie on none"):
        load_file(file, dataset, CheckpointDescription(method="dssn", sigma=0.5))


def test_a_checkpoint_is_written_whole_or_not_at_all(trained: dict[str, Checkpoint], tmp_path: Path) -> None:
    path = save_checkpoint(trained["ssn"], tmp_path)
    assert path.name == f"{trained['ssn'].sha256}.safetensors"
    assert [file.name for file in path.parent.iterdir()] == [path.name]
