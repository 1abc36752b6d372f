"""Calls that are waited for only so long."""

import threading
import time

import pytest

from alerting.bounded import Call


def test_a_call_gives_what_it_returns_or_raises():
    assert Call(lambda a, b: a + b, 2, 3).result(5) == 5
    with pytest.raises(ZeroDivisionError):
        Call(lambda: 1 / 0).result(5)


def test_a_call_that_takes_longer_may_be_asked_again():
    release = threading.Event()
    call = Call(lambda: release.wait(20))
    began = time.monotonic()
    with pytest.raises(TimeoutError, match="no answer in 0.1 s"):
        call.result(0.1)
    assert not call.wait(0.1) and time.monotonic() - began < 2
    release.set()
    assert call.wait(5) and call.result() is True


def test_without_a_thread_to_be_had_the_call_is_made_all_the_same(monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert Call(lambda: 5).result(1) == 5
