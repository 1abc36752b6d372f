"""The batches of training, made by a real process."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import born_with

from augmentation import FAKE, REAL, Recipe
from batches import Batches, MakerError, begun, draw_rows, pools

HERE = Path(__file__).resolve().parents[1]


def some_batches(**changes):
    pictures = np.random.default_rng(0).integers(0, 256, (40, 96, 96, 3), np.uint8)
    labels = np.repeat([REAL, FAKE], 20)
    drawn_from = pools(labels, np.where(labels == REAL, "real/a", "fake/a"), np.arange(40))
    return replace(Batches(
        pictures, np.tile(np.float32([0, 0, 1, 1]), (40, 1)), labels, drawn_from, Recipe(),
        seed=0, members=2, steps=5, stretch=2, batch_size=8, size=24), **changes)


def test_parts_come_in_the_plans_order_and_are_what_make_makes():
    batches = some_batches()
    with begun(batches) as made:
        parts = list(made)
    assert list(batches.parts()) == [(0, 0), (1, 0), (0, 2), (1, 2), (0, 4), (1, 4)]
    assert [len(views) for views, _ in parts] == [2, 2, 2, 2, 1, 1]
    for (member, start), (views, classes) in zip(batches.parts(), parts, strict=True):
        assert views.shape[1:] == (8, 24, 24, 3) and views.dtype == classes.dtype == np.uint8
        for step, (view, labels) in enumerate(zip(views, classes), start):
            expected, its_labels = batches.make(member, step)
            np.testing.assert_array_equal(view, expected)
            np.testing.assert_array_equal(labels, its_labels)


def test_each_member_and_each_step_has_a_batch_of_its_own():
    every = [some_batches(seed=seed).make(member, step)[0]
             for seed in (0, 1) for member in (0, 1) for step in (0, 1)]
    for number, one in enumerate(every):
        assert not any(np.array_equal(one, other) for other in every[:number])


def test_a_batch_shows_both_classes_alike_and_says_which_is_which():
    batches = some_batches()
    batches.crops[batches.labels == FAKE] = 0
    batches.crops[batches.labels == REAL] = 255
    still = replace(batches.recipe, screen_share=0, elsewhere_share=0, gain=0, gamma=0, cast=0, dim_share=0, lift=0,
                    noise_share=0, jpeg_share=0)
    views, classes = replace(batches, recipe=still).make(0, 0)
    assert sorted(classes) == [FAKE] * 4 + [REAL] * 4
    # What is black stays so, whatever its face is exposed like.
    assert (views[classes == FAKE] == 0).all() and views[classes == REAL].min() > 0


def test_short_recordings_are_drawn_more_often_than_their_share():
    labels = np.repeat([FAKE, REAL, REAL], [20, 20, 200])
    recordings = np.repeat(["fake/fake", "real/short", "real/long"], [20, 20, 200])
    drawn = draw_rows(pools(labels, recordings, np.arange(240)), 4000, np.random.default_rng(0))
    shares = {name: np.mean(recordings[drawn] == name) for name in set(recordings)}
    assert shares["fake/fake"] == 0.5
    # A tenth of the length: more than a tenth as often, but less often.
    assert 0.12 < shares["real/short"] / shares["real/long"] < 0.5
    assert len(set(drawn)) > 200, "each crop has its turn"


def test_only_the_rows_given_are_drawn():
    labels, rows = np.repeat([FAKE, REAL], 20), np.arange(0, 40, 3)
    drawn = draw_rows(pools(labels, np.repeat("a", 40), rows), 200, np.random.default_rng(0))
    assert set(drawn) == set(rows)


def test_whoever_stops_asking_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with begun(some_batches(steps=10_000)) as made:
        next(made)
        assert list(tmp_path.iterdir()) and multiprocessing.active_children()
    assert not list(tmp_path.iterdir()) and not multiprocessing.active_children()


def test_a_maker_that_is_gone_is_told_in_one_line():
    with begun(some_batches(steps=10_000)) as made:
        next(made)
        (maker,) = multiprocessing.active_children()
        maker.kill()
        with pytest.raises(MakerError, match="was ended.*try again"):
            list(made)


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_no_maker_outlives_a_training_that_is_killed():
    code = ("import sys; sys.path.insert(0, 'tests')\n"
            "from test_batches import *\n"
            "if __name__ == '__main__':\n"
            "    with begun(some_batches(steps=10**6)) as made:\n"
            "        next(made)\n"
            "        print(multiprocessing.active_children()[0].pid, flush=True)\n"
            "        time.sleep(60)\n")
    trainer = subprocess.Popen([sys.executable, "-c", code], cwd=HERE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True)
    maker = int(trainer.stdout.readline())
    os.kill(maker, 0)
    trainer.kill()
    trainer.wait()
    until = time.monotonic() + 20
    while True:
        try:
            os.kill(maker, 0)
        except ProcessLookupError:
            break
        # Nobody may be left to take note of its end.
        if Path(f"/proc/{maker}/stat").is_file() and ") Z " in Path(f"/proc/{maker}/stat").read_text():
            break
        assert time.monotonic() < until, "the maker still runs"
        time.sleep(0.1)
    assert trainer.stderr.read() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal")
def test_ctrl_c_is_left_to_the_one_that_asks():
    with born_with(signal.SIGINT, signal.default_int_handler), begun(some_batches(steps=10_000)) as made:
        (maker,) = multiprocessing.active_children()
        os.kill(maker.pid, signal.SIGINT)    # before it has come to say what it ignores
        next(made)
        os.kill(maker.pid, signal.SIGINT)
        assert len(list(zip(range(200), made))) == 200
