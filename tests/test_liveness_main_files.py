"""What the authenticator writes costs the user nothing else, whatever disk it is written to."""

import os
import shutil
import subprocess
import sys

import cv2
import pytest
from conftest import ROOT, WEIGHTS, assert_one_line, with_model


def test_output_and_scores_never_replace_what_is_read(watch, sample, trained, tmp_path):
    video = tmp_path / "mine.mp4"
    shutil.copyfile(sample.real, video)
    assert_one_line(watch(video, "--output", "mine.mp4"), "--output", "mine.mp4")
    assert_one_line(watch(video.as_uri(), "--output", "mine.mp4"), "--output", "mine.mp4")
    assert_one_line(watch(video, "--scores", trained.model), "--scores")
    assert_one_line(watch(video, "--scores", trained.le), "--scores")
    assert_one_line(watch(video, "--scores", "AuthenticationInfo.log"), "--scores")
    assert_one_line(watch(video, "--scores", next(WEIGHTS.glob("*.onnx"))), "--scores")
    assert_one_line(watch(video, "--scores", "both.avi", "--output", "both.avi"), "two files")
    assert_one_line(watch(video, "--scores", "both.avi", "--output", "BOTH.avi"), "two files")
    assert video.read_bytes() == sample.real.read_bytes()
    assert_one_line(watch(video, "--output", "no/out.mp4"), "no/out", "cannot be written")
    assert_one_line(watch(video, "--output", "out.txt"), "out.txt", "not a kind of video")
    assert_one_line(watch(video, "--output", "out.png", "--scores", "s.csv"), "out.png", "not a kind of video")
    assert {path.name for path in tmp_path.iterdir()} == {"mine.mp4", "AuthenticationInfo.log"}


@pytest.mark.skipif(sys.platform == "win32", reason="links take a privilege there")
def test_what_is_read_is_known_under_its_other_names(watch, sample, tmp_path):
    video = tmp_path / "mine.mp4"
    shutil.copyfile(sample.real, video)
    (tmp_path / "frames").mkdir()
    shutil.copyfile(next((ROOT / "docs").glob("*.[jp][np]g")), tmp_path / "frames" / "0.png")
    (tmp_path / "link.mp4").symlink_to("mine.mp4")
    os.link(video, tmp_path / "hard.mp4")
    (tmp_path / "folder").symlink_to(tmp_path)
    for name in ("link.mp4", "hard.mp4", "folder/mine.mp4", "./mine.mp4"):
        assert_one_line(watch(video, "--output", name), "--output", "that is what is read")
    assert_one_line(watch("link.mp4", "--output", "hard.mp4"), "--output", "that is what is read")
    assert_one_line(watch("frames", "--scores", "frames/0.png"), "--scores", "its folder is what is read")
    assert video.read_bytes() == sample.real.read_bytes() and (tmp_path / "link.mp4").is_symlink()


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="there is no /dev/stdout")
def test_scores_may_go_to_standard_output_and_to_nowhere(watch, sample, tmp_path):
    done = watch(sample.real, "--once", "--scores", "/dev/stdout")
    assert done.returncode == 0 and "frame,time_s,x,y,w,h,confidence,p_real,verdict,track,track_state" in done.stdout
    (tmp_path / "nowhere").symlink_to("/dev/null")
    assert watch(sample.real, "--once", "--scores", "nowhere").returncode == 0
    assert (tmp_path / "nowhere").is_symlink() and os.path.exists("/dev/null") and not os.path.isfile("/dev/null")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such links")
def test_a_link_to_an_output_stays_one(watch, sample, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "out.mp4").symlink_to("disk/video.mp4")
    assert watch(sample.real, "--once", "--output", "out.mp4").returncode == 0
    assert (tmp_path / "out.mp4").is_symlink() and cv2.VideoCapture(str(tmp_path / "disk" / "video.mp4")).read()[0]


@pytest.mark.parametrize("name", ["08:46.mp4", "a%d.mp4", "caf\u00e9 \u65e5\u672c.mp4"])
@pytest.mark.skipif(sys.platform == "win32", reason="no disk there takes a colon")
def test_videos_may_be_called_what_they_like(watch, sample, tmp_path, name):
    assert watch(sample.real, "--once", "--output", name).returncode == 0
    (tmp_path / name).rename(tmp_path / "plain.mp4")
    assert cv2.VideoCapture(str(tmp_path / "plain.mp4")).read()[0]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="no disk there takes such a name")
def test_a_name_that_is_no_text_is_told(watch, sample, tmp_path):
    """OpenCV would end the process with a segmentation fault."""
    assert_one_line(watch(sample.real, "--once", "--output", b"caf\xe9.mp4".decode(errors="surrogateescape")), "caf")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on the size of files")
def test_a_full_disk_is_told_and_the_guard_stays_up(trained, sample, tmp_path):
    """No file may grow beyond 4 kB: neither scores nor the incident's picture can be kept; the lock is asked for."""
    import resource

    (tmp_path / "alerts.toml").write_text(f'[lock]\ncommand = ["touch", "{tmp_path}/locked"]\n[location]\nurl = ""\n')
    done = subprocess.run(
        [
            sys.executable,
            ROOT / "liveness_main.py",
            *with_model(trained),
            "--source",
            sample.fake,
            "--arm",
            "--no-display",
            "--no-voice",
            "--scores",
            "s.csv",
        ],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert "unauthorized after" in done.stdout
    assert (tmp_path / "locked").exists()
    assert_one_line(done, "s.csv", "cannot be written")
    log = (tmp_path / "AuthenticationInfo.log").read_text()
    assert log.count("NOT SAVED") == 1 and "finished" in log


def test_a_folder_that_takes_no_incidents_does_not_stop_the_guard(watch, sample, tmp_path):
    (tmp_path / "file").touch()
    done = watch(sample.fake, "--incidents", "file/incidents", "--once")
    assert (done.returncode, done.stderr) == (1, "")
    assert (tmp_path / "AuthenticationInfo.log").read_text().count("NOT SAVED") == 1
