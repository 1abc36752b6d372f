"""Work ahead and in parallel changes when things happen, and nothing else."""

import csv
import json
import threading
import time
import zipfile

import cv2
import numpy as np
import pytest
from conftest import WEIGHTS, with_model

import gather_examples
import livenessnet
from authentication.authenticator import Authenticator, find
from authentication.scoring import Scorer
from authentication.session import score_rows
from authentication.verdict import Verdict
from capture import crops
from capture.ahead import Ahead, spread
from capture.opening import open_source
from face_detector import FaceDetector, cut
from training.learning import INPUT_SIZE


def wait_until(condition) -> None:
    """Raises AssertionError if it is not true within ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def threads() -> int:
    return sum(thread.name == "ahead" for thread in threading.enumerate())


def test_items_come_in_order_and_then_no_more():
    with Ahead(iter(range(100)), 3) as items:
        assert list(items) == list(range(100))
        assert list(items) == []


def test_items_are_made_before_they_are_asked_for_and_no_more_than_that():
    made = []
    with Ahead((made.append(n) or n for n in range(100)), 3) as items:
        wait_until(lambda: len(made) == 3)
        time.sleep(0.05)
        assert made == [0, 1, 2]
        assert next(items) == 0
        wait_until(lambda: made == [0, 1, 2, 3])


def test_at_first_more_are_made_and_then_no_more_than_usual():
    made = []
    with Ahead((made.append(n) or n for n in range(100)), 2, at_first=5) as items:
        wait_until(lambda: len(made) == 5)
        assert [next(items) for _ in range(3)] == [0, 1, 2]
        time.sleep(0.05)
        assert made == [0, 1, 2, 3, 4]
        assert next(items) == 3
        wait_until(lambda: len(made) == 6)
        assert list(items) == list(range(4, 100))


def test_an_error_comes_in_its_turn():
    def items():
        yield from (1, 2)
        raise ValueError("damaged")

    with Ahead(items(), 5) as ahead:
        assert next(ahead) == 1 and next(ahead) == 2
        with pytest.raises(ValueError, match="damaged"):
            next(ahead)
        assert list(ahead) == []


def test_closing_ends_the_thread_whatever_it_is_doing():
    before = threads()
    for taken in (0, 1, 50):
        items = Ahead(iter(range(50)), 2)
        for _ in range(taken):
            next(items)
        items.close()
        items.close()
        assert list(items) == []
    assert threads() == before


def test_closing_wakes_a_thread_that_waits_for_an_item():
    never = threading.Event()
    outer = Ahead(Ahead((never.wait(0.2) for _ in range(1000)), 1), 1)
    inner = outer._items
    inner.close()
    outer.close()
    assert not outer._thread.is_alive() and not inner._thread.is_alive()


def test_a_file_can_be_closed_while_it_is_decoded(sample):
    before = threads()
    for taken in (0, 1, 30):
        with open_source(str(sample.real)) as source:
            frames = source.frames()
            for _ in range(taken):
                next(frames)
    assert threads() == before


def test_results_are_in_order_though_the_calls_are_not():
    delays = iter([0.05, 0.0, 0.02, 0.0, 0.03, 0.0, 0.0])

    def call(number):
        time.sleep(next(delays))
        return number

    assert list(spread(call, range(7), 3)) == list(range(7))


def test_calls_run_at_the_same_time():
    together = threading.Barrier(3, timeout=10)
    assert len(list(spread(lambda _: together.wait(), range(6), 3))) == 6


def test_a_failed_call_is_told_after_the_results_before_it():
    def call(number):
        if number == 2:
            raise OSError(28, "No space left on device")
        return number

    results = spread(call, range(10), 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(OSError):
        next(results)


def test_the_frame_loop_gives_what_one_frame_after_the_other_gives(run, sample, trained, witness, tmp_path):
    """Bit for bit: faces, scores and states of every frame."""
    network, detector = livenessnet.load(trained.model, trained.le), FaceDetector(WEIGHTS)
    for video in (sample.real, sample.fake):
        done = run(
            "liveness_main.py",
            *with_model(trained),
            "--source",
            video,
            "--scores",
            "scores.csv",
            "--no-display",
            "--no-voice",
            "--no-lock",
        )
        assert done.returncode == 0, done.stderr
        with (tmp_path / "scores.csv").open(newline="") as file:
            rows = list(csv.reader(file))[1:]

        authenticator, expected = Authenticator(Scorer(network, witness), Verdict()), []
        capture, index = cv2.VideoCapture(str(video)), 0
        while (read := capture.read())[0]:
            time_s = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            look = authenticator.judge(time_s, read[1], find(detector, read[1]))
            expected += score_rows(index, time_s, look)
            index += 1
        assert len(rows) > 100
        assert rows == [[str(value) for value in row] for row in expected]


def test_gathering_in_threads_writes_the_crops_of_one_frame_after_the_other(sample, detector, tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "getNumberOfCPUs", lambda: 4)
    assert gather_examples.main(["-i", str(sample.fake), "-o", str(tmp_path), "-s", "3", "-d", str(WEIGHTS)]) == 0
    capture, index, expected = cv2.VideoCapture(str(sample.fake)), 0, 0
    while (read := capture.read())[0]:
        if index % 3 == 0:
            faces = detector.detect(read[1])
            file = crops.path_of(tmp_path, sample.fake.stem, index)
            assert file.exists() == (not gather_examples.unfit(read[1], faces))
            if file.exists():
                picture, inside = cut(read[1], faces[0, :4])
                crop = crops.read(file)
                assert np.array_equal(crop.picture, picture)
                assert np.allclose(crop.inside, inside, atol=1e-5)
                expected += 1
        index += 1
    assert expected > 20 and len(list(tmp_path.iterdir())) == expected


def test_ctrl_c_keeps_and_counts_the_crops_that_are_begun(sample, tmp_path, monkeypatch, capsys):
    def interrupted(source, skip):
        for number, item in enumerate(source.frames(skip)):
            if number == 20:
                raise KeyboardInterrupt
            yield item

    monkeypatch.setattr(gather_examples, "pictures", interrupted)
    assert gather_examples.main(["-i", str(sample.real), "-o", str(tmp_path), "-s", "1", "-d", str(WEIGHTS)]) == 0
    assert "20 frames used, 20 crops kept" in capsys.readouterr().out
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == [f"real_{n:06d}.png" for n in range(20)]
    assert all(crops.read(file) for file in files)


@pytest.mark.parametrize("name", ["ours_loop", "ours_stages", "ours_gather_stages"])
def test_the_benchmark_can_still_measure_what_it_says(name, run, sample, trained, tmp_path):
    rest = [tmp_path] if name == "ours_gather_stages" else [trained.model, trained.le]
    done = run("benchmarks/benchmark_parts.py", name, sample.real, *rest)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert all(value > 0 for value in figures.values()), figures


def test_the_bare_script_looks_at_as_many_frames_as_a_first_verdict_takes(run, sample, trained, tmp_path):
    graph = tmp_path / "liveness.onnx"
    with zipfile.ZipFile(trained.model) as members:
        graph.write_bytes(members.read("liveness.onnx"))
    bare = run("benchmarks/bare_start.py", sample.real, next(WEIGHTS.glob("*.onnx")), graph, INPUT_SIZE)
    assert bare.returncode == 0, bare.stderr
    done = run(
        "liveness_main.py",
        *with_model(trained),
        "--source",
        sample.real,
        "--once",
        "--json",
        "--no-display",
        "--no-voice",
    )
    with open_source(str(sample.real)) as source:
        until = json.loads(done.stdout)["time_s"] * source.fps
    assert bare.stdout == f"{round(until) + 1} frames\n"
