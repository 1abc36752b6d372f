"""Watch the camera: a live face is authorized, a replayed one is not, and has consequences.

    python liveness_main.py --model liveness.model --le le.pickle --detector face_detector
    python liveness_main.py --model liveness.model --le le.pickle --source videos/fake.mp4      # a rehearsal
    python liveness_main.py --model liveness.model --le le.pickle --once --timeout 10           # a gate
    python liveness_main.py --model liveness.model --le le.pickle --once --challenge 2          # a stricter one

Exit status: 0 finished, quit, or (--once) authorized; 1 (--once) unauthorized; 2 wrong usage, unreadable file or
configuration, camera that cannot be opened; 3 (--once) no verdict in time.
"""

import argparse
import contextlib
import logging
import logging.handlers
import queue
import sys
import time
from collections import deque
from pathlib import Path

import numpy as np

import alerts
import livenessnet
from challenge import Challenge
from display import DisplayError, Recorder, Window, annotate, mirrored
from face_detector import DetectorError, FaceDetector, cut
from incident import CHALLENGE, REPLAY
from options import Parser, fail, positive, share
from verdict import AUTHORIZED, CHECKING, UNAUTHORIZED, Verdict
from video_source import SourceError, open_source

log = logging.getLogger("liveness")

LOG_FILE = "AuthenticationInfo.log"
LOG_SIZE, LOG_COUNT = 1_000_000, 3
GREETING = "Welcome. Please look at the camera."
NO_VERDICT = 3
STATUS = {AUTHORIZED: 0, UNAUTHORIZED: 1, CHECKING: NO_VERDICT}
# An incident keeps so many raw frames, this far apart: about the second that led to the verdict.
EVIDENCE_FRAMES, EVIDENCE_GAP_S = 10, 0.1


def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    with contextlib.ExitStack() as stack:
        stack.callback(start_log(Path(LOG_FILE)).stop)
        try:
            settings = alerts.load_settings(args.alerts)
            if args.test_alerts:
                return alerts.test_alerts(
                    settings, voice=not args.no_voice, lock=not args.no_lock, email=not args.no_email
                )
            return authenticate(args, settings, stack)
        except (
            alerts.SettingsError, DetectorError, DisplayError, SourceError, livenessnet.ModelError
        ) as error:
            log.error("%s", error)
            return fail(str(error))


def authenticate(args: argparse.Namespace, settings: alerts.Settings, stack: contextlib.ExitStack) -> int:
    """Set up the parts, watch until the end, report."""
    network = livenessnet.load(args.model, args.le)
    detector = FaceDetector(args.detector, args.confidence)
    source = stack.enter_context(open_source(args.source))
    refuse_overwriting(args)
    refuse_unseen_prompts(args, settings, source)
    recorder = None
    if args.output or args.scores:
        recorder = Recorder(args.output, args.scores, source.fps, source.live)
    guard = alerts.Alerts(
        settings, incidents=args.incidents, rehearsal=not (source.live or args.arm),
        voice=not args.no_voice, lock=not args.no_lock, email=not args.no_email,
    )
    stack.callback(guard.close)
    window = None
    if not args.no_display:
        window = Window()
        stack.callback(window.close)

    log.info("watching %s with %s", source.name, args.model)
    guard.say(GREETING)
    challenge = Challenge(args.challenge) if args.challenge else None
    state = CHECKING
    try:
        state = watch(source, detector, network, challenge, guard, window, recorder, args)
    except KeyboardInterrupt:
        log.info("interrupted")
    finally:
        if recorder:
            recorder.close()
    log.info("finished")
    if not args.once:
        return 0
    if state == CHECKING:
        print(f"{source.name}: no verdict", file=sys.stderr)
    return STATUS[state]


def watch(source, detector: FaceDetector, network: livenessnet.FastNet, challenge: Challenge | None,
          guard: alerts.Alerts, window: Window | None, recorder: Recorder | None, args: argparse.Namespace) -> str:
    """The frame loop: find faces, score them, weigh the evidence, challenge, act on a verdict, show.

    Returns the last state.
    """
    verdict, evidence = Verdict(), Evidence()
    state, prompt = CHECKING, None
    greeted, reported = None, None  # the visits that were last authorized and reported
    last_score = 0.0  # outlives the visit: a failed challenge may be reported when the face has long gone
    began = time.monotonic()
    for index, time_s, frame in source.frames():
        faces = detector.detect(frame)
        scores = score_faces(network, frame, faces)
        before = state
        state, visit = verdict.update(time_s, min(scores, default=None)), (verdict.visit, 0)
        if challenge:
            state, visit = challenge.update(time_s, faces, state), (verdict.visit, challenge.visit)
            prompt = challenge.prompt
            tell(challenge.sentence, guard)
        evidence.add(time_s, frame, bool(len(faces)))
        last_score = last_score if verdict.score is None else verdict.score

        # A face that fails the challenge may well score as live: the score is not what speaks against it.
        challenged = state == UNAUTHORIZED != verdict.state
        score = None if challenged else verdict.score
        note = guard.status if state == UNAUTHORIZED else ""
        picture, shown = draw(frame, faces, bool(args.output), bool(window), source.live, state, score, note, prompt)
        if state != before:
            log.info("%s at %.2f s of %s", state, time_s, source.name)
            if state != CHECKING:
                print(f"{source.name}: {state} after {time_s:.2f} s", flush=True)
        if state == AUTHORIZED and greeted != visit:
            greeted = visit
            guard.authorized(verdict.score)
        # Asked again while it lasts: a visit that began within the cool-down is reported after it.
        # A challenge can fail by the face's going away.
        if state == UNAUTHORIZED and reported != visit and (len(faces) or challenged):
            snapshot = annotate(frame, faces, state, score, CHALLENGE if challenged else "")
            reason = CHALLENGE if challenged else REPLAY
            if guard.unauthorized(snapshot, evidence.frames(), last_score, source.name, reason):
                reported = visit

        if recorder:
            recorder.put(time_s, picture, score_rows(index, time_s, faces, scores, state))
        # A file plays at its own pace where somebody watches, and as fast as it can elsewhere.
        wait_s = 0 if source.live else time_s - (time.monotonic() - began)
        if window and not window.show(shown, max(0, wait_s)):
            break
        if args.once and state != CHECKING:
            break
        if args.timeout and time_s >= args.timeout:
            break
    return state


def draw(frame: np.ndarray, faces: np.ndarray, output: bool, window: bool, live: bool,
         *signs) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The pictures for the video and for the window, None where not wanted.

    Who stands before a camera wants a mirror; a recording, and whoever watches one, wants the truth.
    """
    recorded = annotate(frame, faces, *signs) if output or (window and not live) else None
    return recorded, annotate(*mirrored(frame, faces), *signs) if window and live else recorded


def tell(sentence: str, guard: alerts.Alerts) -> None:
    """Speak and log what the challenge has to say; a prompt that came late would be worse than none."""
    if sentence:
        log.info("challenge: %s", sentence)
        guard.say(sentence, overtake=True)


def score_faces(network: livenessnet.FastNet, frame: np.ndarray, faces: np.ndarray) -> list[float]:
    """p_real of every face in the frame, 0 to 1."""
    if not len(faces):
        return []
    windows = [cut(frame, face[:4], network.margin, network.input_size)[0] for face in faces]
    return network.p_real(np.stack(windows)).tolist()


def score_rows(index: int, time_s: float, faces: np.ndarray, scores: list[float], state: str) -> list[tuple]:
    return [
        (index, f"{time_s:.3f}", *(round(float(v)) for v in face[:4]), f"{face[14]:.4f}", f"{score:.6f}", state)
        for face, score in zip(faces, scores)
    ]


class Evidence:
    """The last raw frames with a face, a little apart from each other: what an incident keeps."""

    def __init__(self):
        self._frames: deque[np.ndarray] = deque(maxlen=EVIDENCE_FRAMES)
        self._last_s = float("-inf")

    def add(self, time_s: float, frame: np.ndarray, has_face: bool) -> None:
        if has_face and time_s - self._last_s >= EVIDENCE_GAP_S:
            self._frames.append(frame)
            self._last_s = time_s

    def frames(self) -> list[np.ndarray]:
        return list(self._frames)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)
    parser.add_argument("-m", "--model", type=Path, help="what train.py wrote")
    parser.add_argument("-l", "--le", type=Path, help="the label encoder it wrote beside it")
    parser.add_argument("-d", "--detector", default="face_detector", help="folder of the face detector's weights")
    parser.add_argument("-c", "--confidence", type=share, default=0.5, help="lowest score of a face, 0 to 1 (0.5)")
    parser.add_argument("--source", default="0", help="camera number, video file or stream address (0)")
    parser.add_argument("--arm", action="store_true", help="let a video file have consequences, as a camera has")
    parser.add_argument("--once", action="store_true", help="stop at the first verdict; the exit status tells it")
    parser.add_argument("--timeout", type=positive, help="with --once: seconds to wait for a verdict")
    parser.add_argument("--challenge", type=turns, default=0, metavar="N",
                        help="ask for N random turns of the head before anyone is authorized (0: none)")
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
    if args.timeout and not args.once:
        parser.error("--timeout goes with --once")
    if args.alerts is None and Path("alerts.toml").is_file():
        args.alerts = Path("alerts.toml")
    return args


def turns(text: str) -> int:
    """0 to 9."""
    if not (text.isascii() and text.isdecimal() and int(text) <= 9):
        raise argparse.ArgumentTypeError(f"{text} is out of range; give a whole number from 0 to 9")
    return int(text)


def refuse_unseen_prompts(args: argparse.Namespace, settings: alerts.Settings, source) -> None:
    """Nobody can follow what is neither shown nor spoken; in a rehearsal nobody has to."""
    silent = args.no_voice or not settings.voice.enabled
    if args.challenge and source.live and args.no_display and silent:
        raise DisplayError("--challenge needs the window or the voice to ask for turns; drop --no-display or --no-voice")


def refuse_overwriting(args: argparse.Namespace) -> None:
    """A slip of the hand must not cost the user's own video or model."""
    inputs = {Path(p).resolve() for p in (args.source, args.model, args.le, args.alerts) if p}
    for option, file in (("--output", args.output), ("--scores", args.scores)):
        if file and file.resolve() in inputs:
            raise DisplayError(f"{option} {file}: that is what is read; choose another file")
    if args.output and args.scores and args.output.resolve() == args.scores.resolve():
        raise DisplayError(f"--output and --scores are both {args.output}; choose two files")


def start_log(path: Path) -> logging.handlers.QueueListener:
    """Log to a rotating file, written by a thread: a slow disk must not hold up the frame loop."""
    try:
        handler: logging.Handler = logging.handlers.RotatingFileHandler(
            path, maxBytes=LOG_SIZE, backupCount=LOG_COUNT, encoding="utf-8"
        )
    except OSError as error:
        print(f"{path}: cannot be written ({error.strerror}); going on without a log", file=sys.stderr)
        handler = logging.NullHandler()
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    lines: queue.SimpleQueue = queue.SimpleQueue()
    log.addHandler(logging.handlers.QueueHandler(lines))
    log.setLevel(logging.INFO)
    log.propagate = False
    listener = logging.handlers.QueueListener(lines, handler)
    listener.start()
    return listener


if __name__ == "__main__":
    sys.exit(main())
