"""Ctrl-C while Ray starts or stops is delayed until it has done so."""

import signal

import pytest

from rsbench.cluster.session import _delayed_interrupt


def test_ctrl_c_interrupts_at_the_end_of_the_block() -> None:
    steps = []

    def start() -> None:
        with _delayed_interrupt():
            signal.raise_signal(signal.SIGINT)
            steps.append("started")
        steps.append("never reached")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        start()
    assert steps == ["started"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_ctrl_c_interrupts_at_once() -> None:
    steps = []

    def start() -> None:
        with _delayed_interrupt():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            steps.append("never reached")

    with pytest.raises(KeyboardInterrupt):
        start()
    assert steps == []
