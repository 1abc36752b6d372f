"""Watch the camera: a live face is authorized, a replayed one is not, and has consequences.

    python liveness_main.py --model liveness.model --le le.pickle --detector face_detector
    python liveness_main.py --model liveness.model --le le.pickle --source videos/fake.mp4      # a rehearsal
    python liveness_main.py --model liveness.model --le le.pickle --once --timeout 10           # a gate
    python liveness_main.py --model liveness.model --le le.pickle --once --challenge 2          # a stricter one

Exit status: 0 finished, quit, or (--once) authorized; 1 (--once) unauthorized; 2 wrong usage, unreadable file or
configuration, camera that cannot be opened or is lost; 3 (--once) no verdict in time.
"""

import argparse
import contextlib
import functools
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from options import Parser, at_least_one, fail, positive, share
from verdict import AUTHORIZED, CHECKING, LOOSEST, STRICTEST, UNAUTHORIZED, Verdict

# The rest is imported as the start needs it: what takes long in OpenCV is begun first, in threads (see Parts), and
# Python reads the other modules meanwhile.
if TYPE_CHECKING:
    import alerts
    from authenticator import Look

# NumPy's algebra starts a thread for each core and spends 20 to 60 ms on it; nothing here multiplies matrices.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Windows opens some cameras after a minute without it (OpenCV issue 17687); OpenCV reads it when it is imported.
os.environ.setdefault("OPENCV_VIDEOIO_MSMF_ENABLE_HW_TRANSFORMS", "0")

LOG_FILE = "AuthenticationInfo.log"
GREETING = "Welcome. Please look at the camera."
NO_VERDICT = 3
STATUS = {AUTHORIZED: 0, UNAUTHORIZED: 1, CHECKING: NO_VERDICT}
# What ends the program as quitting does; which of them there are depends on the system.
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class OptionsError(Exception):
    """Options that do not go together; the message is one line that says what to do."""


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    with interruption() as stop:
        try:
            return run(args, stop)
        except KeyboardInterrupt:   # before the first frame
            return NO_VERDICT if args.once else 0


def run(args: argparse.Namespace, stop: "Stop") -> int:
    """Start opening the parts, and meanwhile read the settings and open the log."""
    parts = None if args.test_alerts else Parts(args)
    import logging

    import alerts
    from alerts import LOGGER, log_to

    with log_to(Path(LOG_FILE)):
        try:
            settings = alerts.load_settings(args.alerts)
            if args.test_alerts:
                return alerts.test_alerts(
                    settings, voice=not args.no_voice, lock=not args.no_lock, email=not args.no_email
                )
            with contextlib.ExitStack() as stack:
                return authenticate(args, settings, parts, stop, stack)
        except user_errors() as error:
            logging.getLogger(LOGGER).error("%s", error)
            return fail(str(error))


def user_errors() -> tuple[type[Exception], ...]:
    """Those whose messages say what to do. Asked only once something is raised: most runs draw nothing."""
    from alerts import SettingsError
    from display import DisplayError
    from face_detector import DetectorError
    from livenessnet import ModelError
    from video_source import SourceError

    return SettingsError, DetectorError, DisplayError, OptionsError, SourceError, ModelError


def authenticate(args: argparse.Namespace, settings: "alerts.Settings", parts: "Parts", stop: "Stop",
                 stack: contextlib.ExitStack) -> int:
    """Set up the parts, watch until the end, report."""
    from alerts import Alerts
    from authenticator import Authenticator
    from livenessnet import load
    from session import Ending, log, watch

    # In this thread: one more, on two cores, only holds up the one that looks for faces, for which all wait.
    network = load(args.model, args.le)
    source = stack.enter_context(parts.source())
    found = parts.found(source)
    stack.callback(found.close)
    refuse_overwriting(args)
    refuse_unseen_prompts(args, settings, source)
    guard = Alerts(
        settings, incidents=args.incidents, rehearsal=not (source.live or args.arm),
        voice=not args.no_voice, lock=not args.no_lock, email=not args.no_email,
    )
    stack.callback(guard.close)
    window = None
    if not args.no_display:
        from display import Window

        window = Window()
        stack.callback(window.close)
    challenge = None
    if args.challenge:
        from challenge import Challenge

        challenge = Challenge(args.challenge)
    authenticator = Authenticator(network, Verdict(args.false_pass, args.false_lock), challenge)

    stop.gently()
    recorder = None
    # Last of all: from here on its files are finished, whatever happens.
    if args.output or args.scores:
        from display import Recorder

        recorder = Recorder(args.output, args.scores, source.fps, source.live)
    ending = Ending(args.once, args.timeout, args.camera_timeout)
    try:
        log.info("watching %s with %s", source.name, args.model)
        guard.say(GREETING)
        look, time_s = watch(source, found, authenticator, guard, window, recorder, ending, stop)
    finally:
        log.info("finished")
        if recorder:
            recorder.close()
    return answer(source.name, look, time_s, args.json) if args.once else 0


def answer(source: str, look: "Look | None", time_s: float, as_json: bool) -> int:
    """Print the gate's answer on one line and return its status."""
    from session import tell

    state = look.state if look else CHECKING
    if as_json:
        import json

        verdict = None if state == CHECKING else state
        score = round(look.score, 4) if verdict else None
        tell(json.dumps({"verdict": verdict, "score": score, "time_s": round(time_s, 2), "source": source}))
    elif state == CHECKING:
        print(f"{source}: no verdict", file=sys.stderr)
    else:
        tell(f"{source}: {state} after {time_s:.2f} s")
    return STATUS[state]


class Parts:
    """Source and detector, which are opened at the same time, and a file's first frames, in which faces are looked
    for as soon as both are open: OpenCV lets go of Python's lock, so the threads really run beside each other and
    beside Python's imports.
    """

    def __init__(self, args: argparse.Namespace):
        # What an import makes is there to stay: to search it for garbage takes a tenth of the time.
        gc.disable()
        try:
            self._open(args)
        finally:
            gc.freeze()
            gc.enable()

    def _open(self, args: argparse.Namespace) -> None:
        """Begin with each as soon as what it needs is imported."""
        import cv2

        # A thread for each frame's few milliseconds costs a third more of the processor's time than it gains.
        cv2.setNumThreads(1)
        from video_source import open_source

        self._open_source = functools.partial(open_source, args.source, args.width, args.height, args.fps)
        # macOS asks whether the program may use the camera, and does so in the main thread alone.
        in_main_thread = sys.platform == "darwin" and args.source.isdecimal()
        self._source = None if in_main_thread else Background(self._open_source)
        from face_detector import FaceDetector

        self._detector = Background(FaceDetector, args.detector, args.confidence)
        self._found = None if in_main_thread else Background(lambda: self._look(self._source.result()))

    def source(self):
        """The source, once it is open. Raises SourceError."""
        return self._source.result() if self._source else self._open_source()

    def found(self, source):
        """The source's frames with their faces, once the detector is open. Raises DetectorError."""
        return self._found.result() if self._found else self._look(source)

    def _look(self, source):
        from authenticator import look_for_faces

        return look_for_faces(source, self._detector.result())


class Background:
    """A call in a thread of its own, which does not keep the program from ending."""

    def __init__(self, call: Callable, *args):
        self._call, self._args = call, args
        self._value, self._error = None, None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self):
        """Wait for what the call returns, or raise what it raised."""
        self._thread.join()
        if self._error:
            raise self._error
        return self._value

    def _run(self) -> None:
        try:
            self._value = self._call(*self._args)
        except BaseException as error:  # whatever it is, it belongs to whoever waits for the result
            self._error = error


class Stop:
    """What Ctrl-C and its kind do: break off at once at first, and end after the frame at hand once it is gentle."""

    def __init__(self):
        self.asked, self._gentle = False, False

    def gently(self) -> None:
        self._gentle = True

    def __call__(self, *_) -> None:
        """As a signal handler."""
        self.asked = True
        if not self._gentle:
            raise KeyboardInterrupt


@contextlib.contextmanager
def interruption() -> Iterator[Stop]:
    """Route the signals that ask a program to end to one Stop, until the block is left."""
    stop = Stop()
    numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    # Started with nohup, a program is not to hear of the terminal's end.
    before = {number: signal.signal(number, stop) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("-m", "--model", type=Path, help="what train.py wrote")
    parser.add_argument("-l", "--le", type=Path, help="the label encoder it wrote beside it")
    parser.add_argument("-d", "--detector", default="face_detector", help="folder of the face detector's weights")
    parser.add_argument("-c", "--confidence", type=share, default=0.5, help="lowest score of a face, 0 to 1 (0.5)")
    parser.add_argument("--source", default="0", help="camera number, video file or stream address (0)")
    parser.add_argument("--width", type=at_least_one, help="ask the camera for pictures so wide, in pixels")
    parser.add_argument("--height", type=at_least_one, help="... and so high")
    parser.add_argument("--fps", type=positive, help="... and so many a second")
    parser.add_argument("--camera-timeout", type=positive, default=300, metavar="SECONDS",
                        help="end when the camera has shown nothing for so long (300)")
    parser.add_argument("--arm", action="store_true", help="let a video file have consequences, as a camera has")
    parser.add_argument("--once", action="store_true", help="stop at the first verdict; the exit status tells it")
    parser.add_argument("--timeout", type=positive, help="with --once: seconds to wait for a verdict")
    parser.add_argument("--json", action="store_true", help="with --once: answer with a JSON object")
    parser.add_argument("--challenge", type=turns, default=0, metavar="N",
                        help="ask for N random turns of the head before anyone is authorized (0: none)")
    parser.add_argument("--false-lock", type=error_rate, default=0.001, metavar="RATE",
                        help=f"how often a live face may be taken for a replay, {STRICTEST} to {LOOSEST} (0.001)")
    parser.add_argument("--false-pass", type=error_rate, default=0.001, metavar="RATE",
                        help="how often a replay may be taken for a live face, likewise (0.001)")
    parser.add_argument("--output", type=Path, help="write the annotated video here (.mp4, .avi)")
    parser.add_argument("--scores", type=Path, help="write a CSV here, one row per face")
    parser.add_argument("--no-display", action="store_true", help="open no window")
    parser.add_argument("--no-voice", action="store_true", help="speak nothing")
    parser.add_argument("--no-lock", action="store_true", help="never lock the workstation")
    parser.add_argument("--no-email", action="store_true", help="mail nobody")
    parser.add_argument("--alerts", type=Path, help="settings (alerts.toml, if there is one)")
    parser.add_argument("--incidents", type=Path, default=Path("incidents"), help="folder for incidents (incidents)")
    parser.add_argument("--test-alerts", action="store_true", help="try voice, alarm, location, mail; name the lock")
    args = parser.parse_args(argv)
    if not args.test_alerts and not (args.model and args.le):
        parser.error("--model and --le are needed (train.py writes both)")
    for option in ("timeout", "json"):
        if getattr(args, option) and not args.once:
            parser.error(f"--{option} goes with --once")
    if args.alerts is None and Path("alerts.toml").is_file():
        args.alerts = Path("alerts.toml")
    return args


def turns(text: str) -> int:
    """0 to 9."""
    if not (text.isascii() and text.isdecimal() and int(text) <= 9):
        raise argparse.ArgumentTypeError(f"{text} is out of range; give a whole number from 0 to 9")
    return int(text)


def error_rate(text: str) -> float:
    """Within what Verdict takes."""
    rate = positive(text)
    if not STRICTEST <= rate <= LOOSEST:
        raise argparse.ArgumentTypeError(f"{text} is out of range; give a number from {STRICTEST} to {LOOSEST}")
    return rate


def refuse_unseen_prompts(args: argparse.Namespace, settings: "alerts.Settings", source) -> None:
    """Nobody can follow what is neither shown nor spoken; in a rehearsal nobody has to."""
    silent = args.no_voice or not settings.voice.enabled
    if args.challenge and source.live and args.no_display and silent:
        raise OptionsError("--challenge asks for turns by window or voice; drop --no-display or --no-voice")


def refuse_overwriting(args: argparse.Namespace) -> None:
    """A slip of the hand must not cost the user's own video or model."""
    inputs = {Path(p).resolve() for p in (args.source, args.model, args.le, args.alerts) if p}
    for option, file in (("--output", args.output), ("--scores", args.scores)):
        if file and file.resolve() in inputs:
            raise OptionsError(f"{option} {file}: that is what is read; choose another file")
    if args.output and args.scores and args.output.resolve() == args.scores.resolve():
        raise OptionsError(f"--output and --scores are both {args.output}; choose two files")


def leave(status: int) -> NoReturn:
    """End the process, though a thread may still be opening something: if that is within OpenCV when OpenCV is taken
    down, the process would abort instead."""
    sys.stdout.flush()
    sys.stderr.flush()
    if threading.active_count() > 1:
        os._exit(status)
    sys.exit(status)


if __name__ == "__main__":
    leave(main())
