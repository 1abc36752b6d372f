import os
import struct
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT, WEIGHTS, assert_one_line

from capture import crops
import gather_examples
from face_detector import CROP_MARGIN, cut
from capture.opening import open_source


def gather(*options) -> int:
    return gather_examples.main([*map(str, options), "--detector", str(WEIGHTS)])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_originals_command_line_works(run, sample, tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "real.mp4").write_bytes(sample.real.read_bytes())
    (tmp_path / "face_detector").symlink_to(WEIGHTS)
    done = run("gather_examples.py", "--input", "videos/real.mp4", "--output", "dataset/real",
               "--detector", "face_detector", "--skip", "4")
    assert done.returncode == 0 and done.stderr == ""
    assert "30 frames used (every 4th), 30 crops kept" in done.stdout
    assert names(tmp_path / "dataset" / "real") == [f"real_{n:06d}.png" for n in range(0, 120, 4)]


def test_a_crop_is_the_window_round_the_face_and_says_how_it_was_cut(sample, detector, live_frames, tmp_path):
    assert gather("-i", sample.real, "-o", tmp_path, "-s", "40") == 0
    frame = live_frames[40]
    picture, inside = cut(frame, detector.detect(frame)[0, :4])
    crop = crops.read(tmp_path / "real_000040.png")
    np.testing.assert_array_equal(crop.picture, picture)
    assert (crop.recording, crop.frame, crop.margin) == ("real", 40, CROP_MARGIN)
    np.testing.assert_allclose(crop.inside, inside, atol=1e-5)
    assert crop.time_s == pytest.approx(40 * 1001 / 30000, abs=0.002)


def test_gathering_a_video_again_changes_nothing(sample, tmp_path, capsys):
    gather("-i", sample.real, "-o", tmp_path, "-s", "30")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()}
    assert gather("-i", sample.real, "-o", tmp_path, "-s", "30") == 0
    assert "already there: 4" in capsys.readouterr().out
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()} == before


def test_another_video_of_the_same_name_is_put_beside(sample, live_frames, write_video, tmp_path):
    out = tmp_path / "out"
    other = write_video(live_frames[::-1], "other/real.mp4")
    gather("-i", sample.real, "-o", out, "-s", "60")
    before = {path: path.read_bytes() for path in out.iterdir()}
    gather("-i", other, "-o", out, "-s", "60")
    assert names(out) == ["real-2_000000.png", "real-2_000060.png", "real_000000.png", "real_000060.png"]
    assert all(path.read_bytes() == data for path, data in before.items())
    # And again: each recording finds its own name.
    gather("-i", other, "-o", out, "-s", "40")
    assert "real-2_000040.png" in names(out) and "real-3_000000.png" not in names(out)


def test_frames_with_two_faces_are_left_out_and_counted(live_frames, write_video, tmp_path, capsys):
    alone, pair = live_frames[0], np.hstack([live_frames[0], live_frames[5]])
    alone = cv2.copyMakeBorder(alone, 0, 0, 0, alone.shape[1], cv2.BORDER_REPLICATE)
    empty = np.full_like(pair, 90)
    video = write_video([alone, pair, empty, pair, alone], "mixed.avi", "MJPG")
    assert gather("-i", video, "-o", tmp_path / "out", "-s", "1") == 0
    assert names(tmp_path / "out") == ["mixed_000000.png", "mixed_000004.png"]
    out = capsys.readouterr().out
    assert "5 frames used, 2 crops kept" in out
    assert "ambiguous: 2" in out and "without a face: 1" in out


def test_faces_too_small_or_too_blurred_are_left_out_and_counted(live_frames, write_video, tmp_path, capsys):
    sharp = live_frames[0]
    blurred = cv2.GaussianBlur(sharp, (0, 0), 3.6)
    small = cv2.copyMakeBorder(cv2.resize(sharp, (60, 49), interpolation=cv2.INTER_AREA), 40, 55, 50, 66,
                               cv2.BORDER_CONSTANT)
    video = write_video([sharp, blurred, small, small, sharp], "mixed.avi", "MJPG")
    assert gather("-i", video, "-o", tmp_path / "out", "-s", "1") == 0
    assert names(tmp_path / "out") == ["mixed_000000.png", "mixed_000004.png"]
    out = capsys.readouterr().out
    assert "too blurred: 1" in out and "too small: 2" in out


def test_an_upright_face_comes_out_of_a_rotated_recording(live_frames, write_video, tmp_path, detector):
    """Phones record lying pictures and note in the container how to turn them."""
    lying = [cv2.rotate(frame, cv2.ROTATE_90_COUNTERCLOCKWISE) for frame in live_frames[:10]]
    video = write_video(lying, "phone.mp4")
    data = bytearray(video.read_bytes())
    # The track header's matrix, 40 bytes behind its version and flags: rotate by 90 degrees.
    start = data.index(b"tkhd") + 4 + 40
    assert struct.unpack(">9i", data[start : start + 36])[0] == 0x10000
    data[start : start + 36] = struct.pack(">9i", 0, 0x10000, 0, -0x10000, 0, 0, 144 << 16, 0, 1 << 30)
    video.write_bytes(data)
    with open_source(str(video)) as source:
        frames = [frame for _, _, frame in source.frames()]
    assert frames[0].shape == live_frames[0].shape
    assert np.abs(frames[0].astype(int) - live_frames[0]).mean() < 12
    assert gather("-i", video, "-o", tmp_path / "out", "-s", "1") == 0
    assert len(names(tmp_path / "out")) == 10


def raw_motion_jpeg(frames, path: Path) -> Path:
    """Pictures one behind the other, as some cameras write them: a video without a frame count."""
    path.write_bytes(b"".join(cv2.imencode(".jpg", frame)[1].tobytes() for frame in frames))
    return path


def test_a_container_without_a_frame_count_is_read_to_the_end(live_frames, tmp_path, capsys):
    video = raw_motion_jpeg(live_frames[:20], tmp_path / "camera.mjpeg")
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT) <= 0
    assert gather("-i", video, "-o", tmp_path / "out", "-s", "5") == 0
    assert "4 frames used (every 5th), 4 crops kept" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal")
@pytest.mark.parametrize("counted", [True, False])
def test_a_terminal_sees_a_progress_bar_whatever_the_frame_count(sample, live_frames, tmp_path, counted):
    import pty
    import subprocess
    import termios

    video = sample.real if counted else raw_motion_jpeg(live_frames[:20], tmp_path / "camera.mjpeg")
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    process = subprocess.Popen(
        [sys.executable, ROOT / "gather_examples.py", "-i", video, "-o", tmp_path / "out", "-d", WEIGHTS, "-s", "5"],
        stderr=theirs, stdout=subprocess.DEVNULL,
    )
    os.close(theirs)
    shown = b""
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:  # Linux's way of saying that the other side has closed
        pass
    os.close(ours)
    assert process.wait() == 0
    assert (b"24/24" if counted else b"4frame") in shown.replace(b" ", b"")


def test_an_incidents_folder_is_gathered_from_its_raw_frames(live_frames, tmp_path):
    incident = tmp_path / "20260101T000000Z-abc"
    (incident / "frames").mkdir(parents=True)
    for number, frame in enumerate(live_frames[:3]):
        cv2.imwrite(str(incident / "frames" / f"{number:02d}.png"), frame)
    cv2.imwrite(str(incident / "snapshot.jpg"), live_frames[0])
    # Without --skip: all of them, they were chosen already.
    assert gather("-i", incident, "-o", tmp_path / "out") == 0
    assert names(tmp_path / "out") == [f"20260101T000000Z-abc_{n:06d}.png" for n in range(3)]


def test_no_part_of_a_crop_is_ever_seen_under_its_name(sample, tmp_path, monkeypatch):
    def full_disk(self, data):
        with open(self, "wb") as file:
            file.write(bytes(data)[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full_disk)
    assert gather("-i", sample.real, "-o", tmp_path, "-s", "60") == 2
    assert not list(tmp_path.glob("*.png"))


def test_bad_input_is_told_in_one_line(run, write_video, tmp_path):
    out = ("--output", tmp_path / "out", "--detector", WEIGHTS)
    text = tmp_path / "notes.mp4"
    text.write_text("this is no video\n" * 100)
    dark = write_video([np.zeros((120, 160, 3), np.uint8)] * 5, "dark.mp4")
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")

    assert_one_line(run("gather_examples.py", "--input", "missing.mp4", *out), "missing.mp4", "no such file")
    assert_one_line(run("gather_examples.py", "--input", text, *out), "notes.mp4", "not a video")
    assert_one_line(run("gather_examples.py", "--input", dark, *out), "dark.mp4", "exactly one face")
    assert_one_line(run("gather_examples.py", "--input", dark, "--output", in_the_way / "x", "--detector", WEIGHTS),
                    "cannot be written", "--output")
    assert_one_line(run("gather_examples.py", "--input", "99", *out), "camera 99")
    assert_one_line(run("gather_examples.py", "--input", dark, *out, "--skip", "0"), "--skip", "out of range")
    assert_one_line(run("gather_examples.py", "--input", dark, *out, "--confidence", "1.5"), "--confidence")
    assert_one_line(run("gather_examples.py", "--input", dark, "--output", "out", "--detector", "nowhere"), "nowhere")
    assert_one_line(run("gather_examples.py", "--output", "out"), "--input")
    assert_one_line(run("gather_examples.py", "--input", dark, *out, "--seconds", "3"), "--seconds")
