"""How fast and how long a recording is, whatever its container announces."""

import cv2
import pytest
from video_parts import announcing

from capture import pace
from capture.opening import open_source
from capture.pace import Pace, agreed


@pytest.mark.parametrize("announced_s", [0.001, 1 / 60, 1 / 7])
def test_the_time_stamps_give_the_pace_and_the_count(live_frames, write_video, announced_s):
    """As browsers and desktops record: a duration of frames that is the clock's."""
    video = write_video(live_frames[:60], "browser.webm", "VP80")
    announcing(video, announced_s)
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FPS) == pytest.approx(1 / announced_s, rel=0.01)
    with open_source(str(video)) as source:
        assert source.fps == pytest.approx(30, rel=0.01)
        assert source.length == 60
        items = list(source.frames())
    assert len(items) == 60 and items[-1][1] == pytest.approx(59 / 30, abs=0.01)


def test_of_a_long_recording_the_beginning_tells(live_frames, write_video, monkeypatch):
    video = write_video(live_frames, "browser.webm", "VP80")
    announcing(video, 0.001)
    measure = pace.measure
    monkeypatch.setattr(pace, "measure", lambda packets: measure(packets, 20))
    with open_source(str(video)) as source:
        assert source.fps == pytest.approx(30, rel=0.01)
        assert source.length == pytest.approx(len(live_frames), abs=1)


@pytest.mark.parametrize(
    "announced, measured, result",
    [
        ((29.97, 120), Pace(30.0, 120, True), (29.97, 120)),  # near enough: the exact one
        ((1000.0, 20700), Pace(30.0, 621, True), (30.0, 621)),  # a browser's
        ((1000.0, 20700), Pace(30.0, 300, False), (30.0, 621)),  # the same, not read to its end
        ((50.0, 200), Pace(25.0, 100, True), (25.0, 100)),  # an AVI with B-frames
        ((None, None), Pace(25.0, 100, True), (25.0, 100)),
        ((None, None), Pace(25.0, 100, False), (25.0, None)),
        ((25.0, None), Pace(None, 100, True), (25.0, 100)),  # no time stamps
        ((None, None), Pace(None, 4000, False), (None, None)),
    ],
)
def test_what_is_announced_and_what_is_measured_agree_on(announced, measured, result):
    assert agreed(*announced, measured) == result


def test_a_start_that_asks_for_neither_measures_nothing(sample, monkeypatch):
    monkeypatch.setattr(pace, "measure", lambda _: pytest.fail("read ahead"))
    with open_source(str(sample.real)) as source:
        next(source.frames())


def test_slow_motion_keeps_its_odd_rate(live_frames, tmp_path):
    writer = cv2.VideoWriter(str(tmp_path / "slow.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 143, (176, 144))
    for frame in live_frames[:29]:
        writer.write(frame)
    writer.release()
    with open_source(str(tmp_path / "slow.mp4")) as source:
        assert source.fps == pytest.approx(143, rel=0.01) and source.length == 29
        assert list(source.frames())[-1][1] == pytest.approx(28 / 143, abs=0.005)
