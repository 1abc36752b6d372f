"""What tests share: the real detector, the sample videos, and a small model trained on them."""

import contextlib
import logging
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "capture")]

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from camera_parts import Server  # noqa: E402

import gather_examples  # noqa: E402
import train  # noqa: E402
from face_detector import FaceDetector  # noqa: E402
from training.sample_video import make_sample  # noqa: E402

WEIGHTS = ROOT / "face_detector"


def pytest_configure(config):
    # Keras 3.15 on NumPy 2, on every array it takes; nothing of ours.
    config.addinivalue_line("filterwarnings", "ignore:__array__ implementation doesn't accept a copy keyword")


@pytest.fixture(scope="session")
def detector() -> FaceDetector:
    return FaceDetector(WEIGHTS)


@pytest.fixture(scope="session")
def sample() -> SimpleNamespace:
    """real and fake: paths of the sample videos, kept between runs as quickstart.py does."""
    real, fake = make_sample(ROOT / "sample" / "videos")
    return SimpleNamespace(real=real, fake=fake)


@pytest.fixture(scope="session")
def live_frames(sample) -> np.ndarray:
    """uint8 (120, 144, 176, 3): the live sample video."""
    video = cv2.VideoCapture(str(sample.real))
    frames = []
    while (item := video.read())[0]:
        frames.append(item[1])
    return np.array(frames)


@pytest.fixture(scope="session")
def trained(sample, tmp_path_factory) -> SimpleNamespace:
    """dataset, model, le, plot: gathered from the sample videos and trained for a few epochs."""
    folder = tmp_path_factory.mktemp("trained")
    for label in ("real", "fake"):
        video, crops = getattr(sample, label), folder / "dataset" / label
        assert gather_examples.main(["-i", str(video), "-o", str(crops), "-d", str(WEIGHTS), "-s", "1"]) == 0
    paths = {name: folder / file for name, file in
             (("dataset", "dataset"), ("model", "liveness.model"), ("le", "le.pickle"), ("plot", "plot.png"))}
    options = [text for name, path in paths.items() for text in (f"--{name}", str(path))]
    assert train.main([*options, "--epochs", "8", "--batch-size", "32"]) == 0
    return SimpleNamespace(**paths)


@pytest.fixture
def camera_server(live_frames):
    """An HTTP camera that can be told to misbehave."""
    server = Server(live_frames)
    yield server
    server.close()


@pytest.fixture
def lines():
    """What was logged, whatever other tests have done to the logger."""

    class Lines(logging.Handler):
        def emit(self, record):
            found.append(record.getMessage())

    found, handler = [], Lines()
    logger = logging.getLogger("liveness")
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(before)


@pytest.fixture
def run(tmp_path):
    """Run one of the scripts as a user would, in a folder of its own: run("train.py", "--dataset", ...)."""

    def run_script(script: str, *options, env: dict | None = None) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, ROOT / script, *map(str, options)], cwd=tmp_path, env=env, text=True,
            capture_output=True, stdin=subprocess.DEVNULL, timeout=120,
        )

    return run_script


@pytest.fixture
def write_video(tmp_path):
    """write_video(frames, "name.mp4"): a video file of these frames at 30 frames/s."""

    def write(frames, name: str = "video.mp4", code: str = "mp4v") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        height, width = frames[0].shape[:2]
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 30, (width, height))
        assert writer.isOpened()
        for frame in frames:
            writer.write(frame)
        writer.release()
        return path

    return write


@contextlib.contextmanager
def born_with(number: int, handler):
    """What is started within takes the signal so, whatever this process was started with: one in the background
    ignores Ctrl-C, one under nohup the end of its terminal. Only SIG_IGN is inherited; all else means the default."""
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def assert_one_line(done: subprocess.CompletedProcess, *parts: str, status: int = 2) -> None:
    """The run ended with that status and one line on standard error that holds all the parts."""
    assert done.returncode == status, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    for part in parts:
        assert part in done.stderr
