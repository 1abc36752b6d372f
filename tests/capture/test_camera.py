"""Cameras, of which there is none here: the driver is simulated at OpenCV's interface, cv2.VideoCapture."""

import os
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from camera_parts import QUICK, SOON, Driver, has_picture, wait_for, watch

from capture import camera, device
from capture.camera import Camera, Patience
from capture.source import SourceError


@pytest.fixture
def driver(live_frames, monkeypatch):
    driver = Driver(live_frames)
    monkeypatch.setattr(cv2, "VideoCapture", driver)
    yield driver
    driver.block.set()
    driver.opening.set()


def camera_0(patience: Patience = QUICK, **wishes) -> Camera:
    return Camera(0, "camera 0", "camera0", patience=patience, **wishes)


def test_an_unplugged_camera_is_noticed_and_found_again_after_growing_pauses(driver, lines):
    patience = Patience(silent=0.4, broken=0.15, pause=0.15, longest_pause=0.6, settle=0.1)
    with camera_0(patience) as source:
        frames = source.frames()
        watch(frames, lambda item: item[0] == 3)
        driver.plugged = False
        began, reads = time.monotonic(), driver.reads
        watch(frames, lambda _: source.trouble)
        wait_for(lambda: len(driver.openings) >= 7)
        assert driver.held == 0, "a dead capture would keep the device's number taken"
        assert driver.reads - reads < 60 * (time.monotonic() - began), "spins"
        item = watch(frames, lambda _: "trying again in" in source.trouble)[-1]
        assert item[2] is None and source.trouble.startswith("camera 0: no picture for ")
        driver.plugged = True
        watch(frames, has_picture)
        assert source.trouble == ""
        next(frames)
    pauses = np.diff([when for when, _ in driver.openings[1:]])
    # 0.15, 0.3, 0.6, and no longer.
    assert pauses[0] >= 0.14 and pauses[1] >= 0.29 and (pauses[2:5] >= 0.59).all()
    assert [line.partition(" for")[0] for line in lines] == ["camera 0: no picture", "camera 0: picture again"]
    assert driver.held == 0


def test_after_recovery_the_pauses_begin_anew(driver):
    patience = Patience(silent=0.2, broken=0.1, pause=0.1, longest_pause=60, settle=0.1)
    with camera_0(patience) as source:
        frames = source.frames()
        next(frames)
        driver.plugged = False
        wait_for(lambda: len(driver.openings) >= 5)  # the next pause would be 0.8 s, the one after it 1.6 s
        watch(frames, lambda item: item[2] is None)
        driver.plugged = True
        watch(frames, has_picture)
        before = len(driver.openings)
        driver.plugged = False
        wait_for(lambda: len(driver.openings) >= before + 3)
    first, second, third = (when for when, _ in driver.openings[before : before + 3])
    assert third - first < 0.8


def test_a_camera_that_opens_is_given_time_to_bring_a_picture(driver):
    patience = Patience(silent=0.2, broken=0.1, pause=0.05, settle=1.0)
    with camera_0(patience) as source:
        next(source.frames())
        driver.silent = True
        wait_for(lambda: len(driver.openings) >= 3)
    assert driver.openings[2][0] - driver.openings[1][0] >= 0.99


def test_the_smallest_change_makes_a_picture_another(live_frames):
    frame = live_frames[0]
    assert camera.same(frame, frame.copy())
    for row in range(20):
        other = frame.copy()
        other[row, 5, 1] ^= 1
        assert not camera.same(frame, other)
    assert not camera.same(frame, frame[:-1])


def test_while_there_is_no_picture_the_loop_is_let_go_five_times_a_second(driver):
    with camera_0() as source:
        frames = source.frames()
        next(frames)
        driver.plugged = False
        driver.opening.clear()  # opening blocks, too
        watch(frames, lambda item: item[2] is None)
        gaps = np.diff([next(frames)[1] for _ in range(6)])
        assert 0.15 < np.median(gaps) < 0.5


def test_a_read_that_never_returns_is_noticed_and_does_not_keep_close(driver):
    source = camera_0()
    frames = source.frames()
    next(frames)
    driver.block.clear()
    watch(frames, lambda _: source.trouble)
    assert "no picture" in source.trouble and source.lost_s >= QUICK.silent
    began = time.monotonic()
    source.close()
    assert time.monotonic() - began < camera.CLOSE_S + 1
    assert driver.held == 1
    driver.block.set()
    wait_for(lambda: driver.held == 0)


def test_the_native_backend_is_tried_first_and_what_worked_is_kept(driver, monkeypatch):
    native = device.NATIVE_BACKENDS[sys.platform]
    with camera_0() as source:
        assert [backend for _, backend in driver.openings] == [native]
    driver.openings.clear()
    driver.works_with = cv2.CAP_ANY
    with camera_0() as source:
        assert [backend for _, backend in driver.openings] == [native, cv2.CAP_ANY]
        next(source.frames())
        driver.plugged = False
        wait_for(lambda: len(driver.openings) >= 4)
    assert {backend for _, backend in driver.openings[2:]} == {cv2.CAP_ANY}


def test_wishes_are_made_at_every_opening_and_what_became_of_them_told_once(driver, lines):
    with camera_0(width=1280, height=720, fps=60) as source:
        wishes = {cv2.CAP_PROP_FRAME_WIDTH: 1280, cv2.CAP_PROP_FRAME_HEIGHT: 720, cv2.CAP_PROP_FPS: 60}
        assert dict(driver.asked).items() >= wishes.items()
        driver.asked.clear()
        driver.plugged = False
        wait_for(lambda: len(driver.openings) >= 2)
        driver.plugged = True
        watch(source.frames(), lambda item: item[0] >= 3)
        assert dict(driver.asked).items() >= wishes.items()
    told = [line for line in lines if "asked for" in line]
    assert told == ["camera 0: asked for 1280 wide, 720 high, 60 frames/s; gives 176x144 at 30 frames/s"]


def test_nothing_is_said_of_wishes_that_are_met_or_not_made(driver, lines):
    with camera_0(width=176, height=144, fps=30):
        pass
    driver.asked.clear()
    with camera_0():
        pass
    assert driver.asked == [] and not any("asked for" in line for line in lines)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_the_reason_why_a_camera_cannot_be_opened(driver, tmp_path, monkeypatch):
    monkeypatch.setattr(device, "DEVICES", tmp_path)
    driver.plugged = False
    with pytest.raises(SourceError, match="^camera 0: cannot be opened: no such camera; connected: none$"):
        camera_0()
    (tmp_path / "video2").touch()
    with pytest.raises(SourceError, match="^camera 0: cannot be opened: no such camera; connected: 2$"):
        camera_0()
    (tmp_path / "video0").touch()
    with pytest.raises(SourceError, match="camera 0: cannot be opened: it gives no picture"):
        camera_0()
    with (tmp_path / "video0").open() as held:
        other = subprocess.Popen(["sleep", "60"], stdin=held)
    try:
        with pytest.raises(SourceError, match=rf"opened: in use by another program \(sleep, process {other.pid}\)"):
            camera_0()
    finally:
        other.kill()
        other.wait()
    driver.plugged = True
    with camera_0() as source:
        driver.plugged = False
        (tmp_path / "video0").unlink()
        watch(source.frames(), lambda _: ": no such camera; trying again in " in source.trouble)
    (tmp_path / "video0").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(SourceError, match="opened: .*video0 may not be used; add yourself to its group"):
        camera_0()


def test_a_camera_that_opens_without_a_picture_is_busy(driver):
    driver.silent = True
    began = time.monotonic()
    with pytest.raises(SourceError, match="camera 0: "):
        camera_0()
    assert time.monotonic() - began < SOON and driver.held == 0


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_elsewhere_one_sentence_names_the_usual_reasons(driver, monkeypatch, platform):
    monkeypatch.setattr(sys, "platform", platform)
    driver.plugged = False
    with pytest.raises(SourceError, match="camera 0: cannot be opened; is it connected, free of other programs, and"):
        camera_0()
    assert driver.openings[0][1] == {"win32": cv2.CAP_MSMF, "darwin": cv2.CAP_AVFOUNDATION}[platform]


@pytest.mark.parametrize(
    "as_delivered",
    [
        lambda frame: cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY),
        lambda frame: cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)[:, :, None],
        lambda frame: cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.uint16) * 4,  # 10 bits of infrared
        lambda frame: cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)[:, :, None].astype(np.uint16) * 256,
        lambda frame: cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.int16) * 16,
        lambda frame: cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY).astype(np.float32) / 255,
        lambda frame: frame.astype(np.uint16) * 257,
        lambda frame: cv2.cvtColor(frame, cv2.COLOR_BGR2BGRA),
        lambda frame: cv2.cvtColor(frame, cv2.COLOR_BGR2BGRA).astype(np.uint16) * 256,
    ],
)
def test_whatever_a_camera_delivers_is_colour(driver, live_frames, as_delivered):
    driver.pictures = [as_delivered(frame) for frame in live_frames]
    grey = as_delivered(live_frames[0]).ndim == 2 or as_delivered(live_frames[0]).shape[2] == 1
    with camera_0() as source:
        frames = [item[2] for item in watch(source.frames(), lambda item: item[0] == 5) if has_picture(item)]
        assert source.trouble == ""
    for frame in frames:
        assert frame.dtype == np.uint8 and frame.shape == live_frames[0].shape
        original = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR) if grey else frame
        expected = [
            cv2.cvtColor(cv2.cvtColor(one, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR) if grey else one
            for one in live_frames
        ]
        assert min(np.abs(original.astype(int) - one).mean() for one in expected) < 2


def test_two_channels_are_a_webcams_own(driver, live_frames):
    driver.pictures = [cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_YUY2) for frame in live_frames]
    with camera_0() as source:
        frame = next(source.frames())[2]
    assert min(np.abs(frame.astype(int) - one).mean() for one in live_frames) < 8


def test_what_cannot_be_made_colour_is_no_picture_and_the_camera_goes_on(driver, live_frames):
    driver.pictures = live_frames
    with camera_0() as source:
        frames = source.frames()
        watch(frames, has_picture)
        driver.pictures = [np.full((144, 175, 2), 128, np.uint8)]  # two channels come in pairs of columns
        watch(frames, lambda item: item[2] is None)
        driver.pictures = live_frames
        watch(frames, has_picture)


def test_a_16_bit_camera_in_the_dark_is_dark_once_it_has_seen_light(driver, live_frames):
    dark = np.random.default_rng(0).integers(0, 300, (10, 144, 176)).astype(np.uint16)
    driver.pictures = [cv2.cvtColor(live_frames[0], cv2.COLOR_BGR2GRAY).astype(np.uint16) * 256]
    with camera_0() as source:
        frames = source.frames()
        next(frames)
        driver.pictures = list(dark)
        watch(frames, lambda _: "too dark" in source.trouble)


@pytest.mark.parametrize("nothing", [np.zeros(shape, np.uint8) for shape in ((0, 0), (5, 5, 7), (100,))])
def test_what_is_no_picture_is_none(driver, nothing):
    driver.pictures = [nothing]
    with pytest.raises(SourceError, match="camera 0: cannot be opened"):
        camera_0()


def test_a_rate_that_no_camera_has_is_not_believed(driver, monkeypatch):
    for announced, fps in ((90_000.0, 30), (1000.0, 30), (0.0, 30), (-1.0, 30), (120.0, 120), (15.0, 15)):
        driver.fps = announced
        with camera_0() as source:
            assert source.fps == fps
