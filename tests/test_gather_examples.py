import os
import struct
import sys
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import ROOT, WEIGHTS, assert_one_line

import gather_examples
from capture import crops
from capture.opening import open_source
from face_detector import CROP_MARGIN, cut


def gather(*options) -> int:
    return gather_examples.main([*map(str, options), "--detector", str(WEIGHTS)])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_originals_command_line_works(run, sample, tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "real.mp4").write_bytes(sample.real.read_bytes())
    (tmp_path / "face_detector").symlink_to(WEIGHTS)
    done = run(
        "gather_examples.py",
        "--input",
        "videos/real.mp4",
        "--output",
        "dataset/real",
        "--detector",
        "face_detector",
        "--skip",
        "4",
    )
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


def test_a_crop_carries_what_the_witness_said_of_the_face_in_its_frame(
    sample, detector, witness, live_frames, tmp_path
):
    assert gather("-i", sample.real, "-o", tmp_path, "-s", "40") == 0
    frame = live_frames[40]
    said = witness and witness.look(frame, detector.detect(frame)[0, :4])
    assert crops.read(tmp_path / "real_000040.png").witness == (said and pytest.approx(said, abs=1e-3))


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


@pytest.mark.parametrize(
    "first, second",
    [
        ("kitchen.mp4", "Kitchen.mp4"),
        ("KITCHEN.mp4", "kitchen.mp4"),
        ("caf\u00e9.mp4", "cafe\u0301.mp4"),
        ("STRASSE.mp4", "stra\u00dfe.mp4"),
        ("a\nb.mp4", "a\nb.mp4"),
        ("a\n.mp4", "a\n.mp4"),
        ("7.mp4", "7.mp4"),
    ],
)
def test_two_recordings_never_get_one_name_on_any_disk(sample, live_frames, write_video, tmp_path, first, second):
    """Disks that do not tell upper and lower case apart, or how accents are written, take such names for one."""
    out = tmp_path / "out"
    one, other = tmp_path / "1" / first, write_video(live_frames[::-1], f"2/{second}")
    one.parent.mkdir()
    one.write_bytes(sample.real.read_bytes())
    for video in (one, other, one, other):
        assert gather("-i", video, "-o", out, "-s", "60") == 0
    files = list(out.iterdir())
    assert len(files) == 4
    assert len({unicodedata.normalize("NFC", file.name).casefold() for file in files}) == 4
    assert len({crops.read(file).source for file in files}) == 2
    assert {crops.origin(file)[0] for file in files} == {one.stem, f"{other.stem}-2"}


def test_a_video_renamed_in_case_alone_is_already_there(sample, tmp_path, capsys):
    out = tmp_path / "out"
    for name in ("Real.mp4", "REAL.mp4"):
        (tmp_path / name).write_bytes(sample.real.read_bytes())
        assert gather("-i", tmp_path / name, "-o", out, "-s", "60") == 0
    assert names(out) == ["Real_000000.png", "Real_000060.png"]
    assert "already there: 2" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform == "win32", reason="needs links and modes")
def test_what_cannot_be_read_in_the_folder_is_anothers(sample, tmp_path):
    (tmp_path / "real_000000.png").symlink_to("nowhere")
    os.mkfifo(tmp_path / "real-2_000000.png")
    (tmp_path / "real-3_000000.png").mkdir()
    (tmp_path / "real-4_000000.png").write_text("no picture")
    assert gather("-i", sample.real, "-o", tmp_path, "-s", "60") == 0
    assert [name for name in names(tmp_path) if "-5" in name] == ["real-5_000000.png", "real-5_000060.png"]


def test_a_name_that_the_disk_does_not_take_is_made_short(sample, tmp_path):
    """Of a video from a disk that does, or one whose name leaves no room for what a crop's has behind it."""
    video = tmp_path / ("x" * 250 + ".mp4")
    try:
        video.write_bytes(sample.real.read_bytes())
    except OSError:
        pytest.skip("this disk takes no such name")
    for _ in range(2):
        assert gather("-i", video, "-o", tmp_path / "out", "-s", "60") == 0
        assert names(tmp_path / "out") == [f"{'x' * 50}_{n:06d}.png" for n in (0, 60)]


def test_a_character_that_the_disk_does_not_take_is_left_out(sample, tmp_path, monkeypatch):
    """FAT, exFAT and NTFS take no colon; there is no such disk here, but its answer."""
    video = tmp_path / "08:46 me?.mp4"
    video.write_bytes(sample.real.read_bytes())
    touch = Path.touch

    def as_on_fat(self, *args, **kwargs):
        if ":" in self.name:
            raise OSError(22, "Invalid argument", str(self))
        touch(self, *args, **kwargs)

    monkeypatch.setattr(Path, "touch", as_on_fat)
    assert gather("-i", video, "-o", tmp_path / "out", "-s", "60") == 0
    assert names(tmp_path / "out") == ["08-46-me-_000000.png", "08-46-me-_000060.png"]


@pytest.mark.parametrize("which", ["real", "fake"])
@pytest.mark.parametrize(
    "turn, told",
    [
        (cv2.ROTATE_90_CLOCKWISE, "lies on its side; give it a quarter turn counterclockwise"),
        (cv2.ROTATE_90_COUNTERCLOCKWISE, "lies on its side; give it a quarter turn clockwise"),
        (cv2.ROTATE_180, "stands on its head; give it half a turn"),
    ],
)
def test_a_recording_on_its_side_is_told_and_nothing_of_it_kept(
    sample, write_video, tmp_path, capsys, which, turn, told
):
    with open_source(str(getattr(sample, which))) as source:
        video = write_video([cv2.rotate(frame, turn) for _, _, frame in source.frames()], "side.mp4")
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine_000000.png").write_bytes(b"mine")
    assert gather("-i", video, "-o", out, "-s", "8") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "side.mp4" in error and told in error
    assert names(out) == ["mine_000000.png"]


def test_a_few_turned_pictures_among_others_are_no_turned_recording(live_frames, write_video, tmp_path):
    """Such as of somebody who lies down for a moment; square, so that they fit one video."""
    square = [cv2.copyMakeBorder(frame, 16, 16, 0, 0, cv2.BORDER_REPLICATE) for frame in live_frames[:20]]
    square[1] = cv2.rotate(square[1], cv2.ROTATE_90_CLOCKWISE)
    square[4] = cv2.rotate(square[4], cv2.ROTATE_90_CLOCKWISE)
    assert gather("-i", write_video(square), "-o", tmp_path / "out", "-s", "1") == 0
    assert len(names(tmp_path / "out")) >= 18


def test_one_is_singular(live_frames, tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "me.png"), live_frames[0])
    assert gather("-i", tmp_path / "me.png", "-o", tmp_path / "out") == 0
    assert capsys.readouterr().out.endswith("out: 1 frame used, 1 crop kept\n")
    assert names(tmp_path / "out") == ["me_000000.png"]


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
    small = cv2.copyMakeBorder(
        cv2.resize(sharp, (60, 49), interpolation=cv2.INTER_AREA), 40, 55, 50, 66, cv2.BORDER_CONSTANT
    )
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
        stderr=theirs,
        stdout=subprocess.DEVNULL,
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
    assert (b"24/24" if counted else b"4/4") in shown.replace(b" ", b"")


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
    def full_disk(part, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
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
    assert_one_line(
        run("gather_examples.py", "--input", dark, "--output", in_the_way / "x", "--detector", WEIGHTS),
        "cannot be written",
        "--output",
    )
    assert_one_line(run("gather_examples.py", "--input", "99", *out), "camera 99")
    assert_one_line(run("gather_examples.py", "--input", dark, *out, "--skip", "0"), "--skip", "out of range")
    assert_one_line(run("gather_examples.py", "--input", dark, *out, "--confidence", "1.5"), "--confidence")
    assert_one_line(run("gather_examples.py", "--input", dark, "--output", "out", "--detector", "nowhere"), "nowhere")
    assert_one_line(run("gather_examples.py", "--output", "out"), "--input")
    assert_one_line(run("gather_examples.py", "--input", dark, *out, "--seconds", "3"), "--seconds")
