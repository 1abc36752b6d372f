"""What tests share: the real detector, the sample videos, and a small model trained on them."""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("alerting", "anti_spoofing", "capture", "model_file")  # whose parts others use, too
sys.path[:0] = map(str, (ROOT, ROOT / "benchmarks", *(ROOT / "tests" / room for room in ROOMS)))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from camera_parts import Server  # noqa: E402

import gather_examples  # noqa: E402
import livenessnet  # noqa: E402
import train  # noqa: E402
from anti_spoofing import Witness, WitnessMissing  # noqa: E402
from anti_spoofing.minifasnet import WEIGHTS as WITNESS_WEIGHTS  # noqa: E402
from face_detector import FaceDetector  # noqa: E402
from face_recognizer import Recognizer, RecognizerError  # noqa: E402
from training import learning  # noqa: E402
from training.fitting import CURVES  # noqa: E402
from training.sample_video import make_sample  # noqa: E402

WEIGHTS = ROOT / "face_detector"


class _Keras:
    """Keras, imported by whoever uses it, and not by each worker to see what tests there are: it takes seconds."""

    def __getattr__(self, name: str):
        if name.startswith(("_", "pytest")):  # pytest looks whether it is a fixture
            raise AttributeError(name)
        return getattr(livenessnet.import_keras(), name)


keras = _Keras()


def pytest_configure(config):
    # Keras 3.15 on NumPy 2, on every array it takes; nothing of ours.
    config.addinivalue_line("filterwarnings", "ignore:__array__ implementation doesn't accept a copy keyword")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    """What was logged may hold names that are no text, which a worker cannot hand on."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session", autouse=True)
def all_weights(made_once) -> None:
    """All networks' weights are fetched before the first test, so that no script it runs says that it fetches them."""

    def fetch(_: Path) -> None:
        FaceDetector(WEIGHTS)
        for network, missing in ((Recognizer, RecognizerError), (Witness, WitnessMissing)):
            with contextlib.suppress(missing):
                network()

    made_once("weights", fetch)


@pytest.fixture(scope="session", autouse=True)
def witness(all_weights) -> Witness | None:
    """The anti-spoofing network; None where it cannot be had, and then no start tries for long."""
    try:
        return Witness()
    except WitnessMissing:
        os.environ["HTTPS_PROXY"] = "http://127.0.0.1:9"
        return None


@pytest.fixture(scope="session")
def witness_folder() -> Path:
    """The folder of the real weights and of what PyTorch makes of them, as LIVENESS_WEIGHTS names it."""
    folder = os.environ.get("LIVENESS_WEIGHTS", "")
    if not folder or not Path(folder, WITNESS_WEIGHTS).is_file():
        pytest.skip(f"LIVENESS_WEIGHTS names no folder with {WITNESS_WEIGHTS}")
    return Path(folder)


@pytest.fixture(scope="session")
def detector() -> FaceDetector:
    return FaceDetector(WEIGHTS)


@pytest.fixture(scope="session")
def recognizer() -> Recognizer:
    try:
        return Recognizer()
    except RecognizerError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def stranger() -> np.ndarray:
    """uint8 (600, 512, 3): Grace Hopper, whose portrait comes with Matplotlib."""
    import matplotlib

    return cv2.imread(str(Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """made_once(name, make): the folder of that name, which make(folder) fills: for one of the workers, the others wait
    for it. Nobody may change what is in it."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared

    def wait_or_make(name: str, make) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        try:
            folder.mkdir()
        except FileExistsError:
            until = time.monotonic() + 180
            while not done.exists():
                assert time.monotonic() < until, f"the worker that makes {name} does not come to an end"
                time.sleep(0.1)
        else:
            make(folder)
            done.touch()
        return folder

    return wait_or_make


@pytest.fixture(scope="session")
def sample(made_once) -> SimpleNamespace:
    """real and fake: paths of the sample videos, kept between runs as quickstart.py does."""
    made_once("sample", lambda _: make_sample(ROOT / "sample" / "videos"))
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
def trained(sample, made_once) -> SimpleNamespace:
    """dataset, model, le, plot: gathered from the sample videos and trained for a few epochs."""
    files = {"dataset": "dataset", "model": "liveness.model", "le": "le.pickle", "plot": "plot.png"}

    def make(folder: Path) -> None:
        for label in ("real", "fake"):
            video, crops = getattr(sample, label), folder / "dataset" / label
            assert gather_examples.main(["-i", str(video), "-o", str(crops), "-d", str(WEIGHTS), "-s", "2"]) == 0
        options = [text for name, file in files.items() for text in (f"--{name}", str(folder / file))]
        assert train.main([*options, "--detector", str(WEIGHTS), "--epochs", "16"]) == 0

    folder = made_once("trained", make)
    return SimpleNamespace(**{name: folder / file for name, file in files.items()})


def with_model(trained) -> list:
    """The options of liveness_main.py that name the trained model, its labels and the detector."""
    return ["-m", trained.model, "-l", trained.le, "-d", WEIGHTS]


@pytest.fixture
def unfitted(monkeypatch):
    """A network that nobody fits is trained in no time."""
    monkeypatch.setattr(learning, "fit", lambda *_, **__: {name: [0.5] for name in CURVES})


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


def cache_in(folder: Path) -> dict[str, str]:
    """What of the environment puts this user's cache into that folder, on whatever system."""
    return dict.fromkeys(("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"), str(folder))


@pytest.fixture
def empty_cache(monkeypatch, tmp_path) -> None:
    for name, folder in cache_in(tmp_path / "cache").items():
        monkeypatch.setenv(name, folder)


@pytest.fixture
def run(tmp_path):
    """Run one of the scripts as a user would, in a folder of its own: run("train.py", "--dataset", ...).

    With a state of its own, and at the computer itself, wherever the tests are started from."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("SSH_")}
    ours["XDG_STATE_HOME"] = str(tmp_path / "state")

    def run_script(script: str, *options, env: dict | None = None) -> subprocess.CompletedProcess:
        return without_the_missing(
            subprocess.run(
                [sys.executable, ROOT / script, *map(str, options)],
                cwd=tmp_path,
                env=env or ours,
                text=True,
                capture_output=True,
                stdin=subprocess.DEVNULL,
                timeout=120,
            )
        )

    return run_script


def without_the_missing(done: subprocess.CompletedProcess) -> subprocess.CompletedProcess:
    """Without the line that says that the anti-spoofing weights cannot be had: here they may or may not."""
    lines = done.stderr.splitlines(keepends=True)
    done.stderr = "".join(line for line in lines if "anti-spoofing weights: cannot be fetched" not in line)
    return done


@pytest.fixture
def watch(run, trained):
    """Run liveness_main.py on a video with the trained model, without window and voice."""

    def start(source, *options, **kwargs):
        return run(
            "liveness_main.py",
            *with_model(trained),
            "--source",
            source,
            "--no-display",
            "--no-voice",
            *options,
            **kwargs,
        )

    return start


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


def memory_of(code: str, *arguments) -> tuple[str, int]:
    """What the code prints in a process of its own, and how many MB more than before it took at most. Its modules are
    imported before that."""
    frame = (
        "import sys; sys.path[:0] = %r\nimport fuzz, livenessnet\nfrom pathlib import Path\n"
        "from anti_spoofing import pytorch_file\nfrom capture import crops\n"
        "before = fuzz.peak_mb()\n%s\nprint(round(fuzz.peak_mb() - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", frame % ([str(ROOT), str(ROOT / "benchmarks")], code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr[-500:]
    *lines, peak = done.stdout.splitlines()
    return "\n".join(lines), int(peak)
