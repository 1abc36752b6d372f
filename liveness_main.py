"""Watch the camera: a live face is authorized, a replayed one is not, and has consequences.

    python liveness_main.py --model liveness.model --le le.pickle --detector face_detector
    python liveness_main.py --model liveness.model --le le.pickle --source videos/fake.mp4      # a rehearsal
    python liveness_main.py --model liveness.model --le le.pickle --owner --away 15             # nobody but the owner
    python liveness_main.py --model liveness.model --le le.pickle --once --timeout 10           # a gate
    python liveness_main.py --model liveness.model --le le.pickle --once --challenge 2          # a stricter one

Exit status: 0 finished, quit, or (--once) authorized; 1 (--once) unauthorized; 2 wrong usage, unreadable file or
configuration, camera that cannot be opened or is lost; 3 (--once) no verdict in time, or no look taken.
"""

import argparse
import os
import sys
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from authentication.absence import LONGEST_S, SHORTEST_S, Absence
from authentication.gate import NO_VERDICT, Gate, reset
from authentication.interruption import Stop, interruption
from authentication.lockout import Lockout, LockoutError
from authentication.opening import Opening, SourceOptions
from authentication.verdict import LOOSEST, STRICTEST, Verdict
from options import Parser, at_least_one, between, fail, make_words_safe, positive, share, whole
from storage.user_error import UserError

# The rest is imported as the start needs it: what takes long in OpenCV is begun first, in threads (see Opening), and
# Python reads the other modules meanwhile.
if TYPE_CHECKING:
    import alerts
    from authentication.authenticator import Authenticator
    from authentication.recorder import Recorder
    from authentication.session import Outcome

# NumPy's algebra starts a thread for each core and spends 20 to 60 ms on it; nothing here multiplies matrices.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Windows opens some cameras after a minute without it (OpenCV issue 17687); OpenCV reads it when it is imported.
os.environ.setdefault("OPENCV_VIDEOIO_MSMF_ENABLE_HW_TRANSFORMS", "0")

LOG_FILE = "AuthenticationInfo.log"
GREETING = "Welcome. Please look at the camera."
LAST_WORDS_S = 1.0


class OptionsError(UserError):
    """Options that do not go together; the message is one line that says what to do."""


def main(argv: list[str] | None = None) -> int:
    make_words_safe()
    args = parse(argv)
    with interruption() as stop:
        try:
            return run(args, stop)
        except KeyboardInterrupt:  # before the first frame
            return NO_VERDICT if args.once else 0
        except Exception:  # a fault of ours: Python's own status for it, 1, would say "unauthorized"
            import traceback

            traceback.print_exc()
            return 2


def run(args: argparse.Namespace, stop: Stop) -> int:
    """Begin to open source and detector, and meanwhile read the settings and open the log."""
    opening = gate = closed = None
    try:
        if args.reset_lockout:
            return reset()
        if args.once:
            gate = Gate(args.source, args.arm, args.json, None if args.no_lockout else Lockout())
            closed = gate.closed(args.allow_remote)
    except LockoutError as error:
        return fail(str(error))
    if not (args.test_alerts or closed):
        source = SourceOptions(args.source, args.width, args.height, args.fps)
        opening = Opening(source, args.detector, args.confidence, args.owner)
    import logging

    import alerts
    from alerts import LOGGER, log_to

    with ExitStack() as stack:
        stack.enter_context(log_to(Path(LOG_FILE)))
        if closed:
            return gate.refuse(closed)
        try:
            settings = alerts.load_settings(args.alerts)
            if args.test_alerts:
                return alerts.test_alerts(
                    settings, voice=not args.no_voice, lock=not args.no_lock, email=not args.no_email
                )
            return authenticate(args, settings, opening, gate, stop, stack)
        except UserError as error:
            logging.getLogger(LOGGER).error("%s", error)
            return fail(str(error))


def authenticate(
    args: argparse.Namespace,
    settings: "alerts.Settings",
    opening: Opening,
    gate: Gate | None,
    stop: Stop,
    stack: ExitStack,
) -> int:
    """Set up the parts, watch until the end, report."""
    from alerts import Alerts
    from authentication.session import Ending, log, watch
    from livenessnet import load

    # In this thread: one more, on two cores, only holds up the one that looks for faces, for which all wait.
    network = load(args.model, args.le)
    source = stack.enter_context(opening.source())
    found = opening.found(source)
    stack.callback(found.close)
    authenticator = authenticator_of(args, network, opening, source)
    refuse_overwriting(args)
    refuse_unseen_prompts(args, settings, source)
    refuse_lockless_absence(args, settings)
    guard = Alerts(
        settings,
        incidents=args.incidents,
        rehearsal=not (source.live or args.arm),
        voice=not args.no_voice,
        lock=not args.no_lock,
        email=not args.no_email,
    )
    stack.callback(guard.close)
    window = recorder = None
    if not args.no_display:
        from authentication.window import Window

        window = Window(lambda: end_without_screen(stack, recorder))
        stack.callback(window.close)

    stop.gently()
    # Last of all: from here on its files are finished, whatever happens.
    if args.output or args.scores:
        from authentication.recorder import Recorder

        recorder = Recorder(args.output, args.scores, source.fps, source.live)
    ending = Ending(args.once, args.timeout, args.camera_timeout)
    absence = Absence(args.away, owner=args.owner) if args.away else None
    try:
        log.info("watching %s with %s", source.name, args.model)
        guard.say(GREETING)
        outcome = watch(source, found, authenticator, guard, window, recorder, ending, stop, absence)
        if gate:
            gate.count(outcome, source.live)
    finally:
        log.info("finished")
        if recorder:
            recorder.close()
    if gate:
        return gate.answer(source.name, outcome)
    tell_undecided(source, outcome)
    return 0


def authenticator_of(args: argparse.Namespace, network, opening: Opening, source) -> "Authenticator":
    """What judges the frames, put together."""
    from authentication.authenticator import Authenticator
    from authentication.scoring import Scorer

    scorer = Scorer(network, witness_of(opening, needed=args.owner), every_picture=source.stills)
    verdict = Verdict(args.false_pass, args.false_lock)
    challenge = identity = None
    if args.challenge:
        from authentication.challenge import Challenge

        challenge = Challenge(args.challenge)
    if args.owner:
        from authentication.identity import identity_of

        identity = identity_of(args.model, opening.recognizer, verdict, args.owner_threshold)
    return Authenticator(scorer, verdict, challenge, identity, related=not source.stills)


def witness_of(opening: Opening, needed: bool):
    """The anti-spoofing network; None, and a line about it, where it cannot be had: LivenessNet decides alone then.

    needed: raises OptionsError instead. Whoever knows faces alone takes a photo of the owner for him."""
    from anti_spoofing import WitnessMissing
    from authentication.session import log

    try:
        return opening.witness()
    except WitnessMissing as missing:
        if needed:
            raise OptionsError(f"{missing}; --owner does not start without it") from missing
        log.warning("without the anti-spoofing network: %s", missing)
        print(f"{missing}; until then LivenessNet decides alone", file=sys.stderr)
        return None


def end_without_screen(stack: ExitStack, recorder: "Recorder | None") -> NoReturn:
    """The screen has gone, in the middle of the loop, and the window's toolkit with it: bring all else to its end."""
    from authentication.recorder import RecordingError
    from authentication.session import log

    problem = "the screen is gone, and so is its window; start again, or add --no-display"
    log.error("%s", problem)
    try:
        if recorder:
            recorder.close()
    except RecordingError as error:
        problem = f"{error}; {problem}"
    stack.close()
    status = fail(problem)
    sys.stderr.flush()
    os._exit(status)


def tell_undecided(source, outcome: "Outcome") -> None:
    """Why a file came to no verdict."""
    if outcome.why_undecided and outcome.ended and not source.live:
        print(f"{source.name}: no verdict: {outcome.why_undecided}", flush=True)


def leave(status: int) -> NoReturn:
    """End the process, though a thread may still be opening something: if that is within OpenCV when OpenCV is taken
    down, the process would abort instead. Whoever holds up the last words does not hold up the status for long."""
    words = threading.Thread(target=lambda: (sys.stdout.flush(), sys.stderr.flush()), daemon=True)
    words.start()
    words.join(LAST_WORDS_S)
    if threading.active_count() > 1:
        os._exit(status)
    sys.exit(status)


# --- Options ---


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
    parser.add_argument(
        "--camera-timeout",
        type=positive,
        default=300,
        metavar="SECONDS",
        help="end when the camera has shown nothing for so long (300)",
    )
    parser.add_argument("--arm", action="store_true", help="let a video file have consequences, as a camera has")
    add_gate_options(parser)
    add_verdict_options(parser)
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
    check_together(parser, args)
    if args.alerts is None and os.path.lexists("alerts.toml"):  # one that cannot be read is told, not passed over
        args.alerts = Path("alerts.toml")
    return args


def add_gate_options(parser: Parser) -> None:
    parser.add_argument("--once", action="store_true", help="stop at the first verdict; the exit status tells it")
    parser.add_argument("--timeout", type=positive, help="with --once: seconds to wait for a verdict")
    parser.add_argument("--json", action="store_true", help="with --once: answer with a JSON object")
    parser.add_argument(
        "--allow-remote",
        action="store_true",
        help="with --once: look also when asked over SSH or with the lid closed",
    )
    parser.add_argument(
        "--no-lockout",
        action="store_true",
        help="with --once: look however many were refused, as where PAM requires the password as well",
    )
    parser.add_argument("--reset-lockout", action="store_true", help="let --once look again after too many refusals")
    parser.add_argument(
        "--challenge",
        type=whole(0, 9),
        default=0,
        metavar="N",
        help="ask for N random turns of the head before anyone is authorized (0: none)",
    )


def add_verdict_options(parser: Parser) -> None:
    parser.add_argument(
        "--away",
        type=between(SHORTEST_S, LONGEST_S),
        metavar="SECONDS",
        help="lock when nobody has been in sight for so long; 15 is a good time (never)",
    )
    parser.add_argument(
        "--false-lock",
        type=between(STRICTEST, LOOSEST),
        default=0.001,
        metavar="RATE",
        help=f"how often a live face may be taken for a replay, {STRICTEST} to {LOOSEST} (0.001)",
    )
    parser.add_argument(
        "--false-pass",
        type=between(STRICTEST, LOOSEST),
        default=0.001,
        metavar="RATE",
        help="how often a replay may be taken for a live face, or a stranger for an owner, likewise (0.001)",
    )
    parser.add_argument("--owner", action="store_true", help="authorize only an owner whom train.py has enrolled")
    parser.add_argument(
        "--owner-threshold", type=positive, metavar="SCORE", help="with --owner: how alike, 0.2 to 0.8 (0.5)"
    )


def check_together(parser: Parser, args: argparse.Namespace) -> None:
    """Which options go with which; else wrong usage."""
    if not (args.test_alerts or args.reset_lockout) and not (args.model and args.le):
        parser.error("--model and --le are needed (train.py writes both)")
    for option in ("timeout", "json", "allow_remote", "no_lockout"):
        if getattr(args, option) and not args.once:
            parser.error(f"--{option.replace('_', '-')} goes with --once")
    if args.owner_threshold and not (args.owner and 0.2 <= args.owner_threshold <= 0.8):
        parser.error("--owner-threshold goes with --owner, and is from 0.2 to 0.8")
    for option in ("once", "no_lock"):
        if args.away and getattr(args, option):
            parser.error(f"--away does not go with --{option.replace('_', '-')}")


def refuse_unseen_prompts(args: argparse.Namespace, settings: "alerts.Settings", source) -> None:
    """Nobody can follow what is neither shown nor spoken; in a rehearsal nobody has to."""
    silent = args.no_voice or not settings.voice.enabled
    if args.challenge and source.live and args.no_display and silent:
        raise OptionsError("--challenge asks for turns by window or voice; drop --no-display or --no-voice")


def refuse_lockless_absence(args: argparse.Namespace, settings: "alerts.Settings") -> None:
    if args.away and not settings.lock.enabled:
        raise OptionsError(f"--away locks: set enabled = true in [lock] of {args.alerts}, or drop it")


def refuse_overwriting(args: argparse.Namespace) -> None:
    """A slip of the hand must not cost the user's own video or model, under whatever name."""
    from capture.address import local_path
    from storage.names import is_same, may_be_same

    outputs = [(option, file) for option, file in (("--output", args.output), ("--scores", args.scores)) if file]
    source = local_path(args.source) or ""
    read = [name for name in (source, args.model, args.le, args.alerts, LOG_FILE) if name]
    for option, file in outputs:
        if any(is_same(file, other) for other in read):
            raise OptionsError(f"{option} {file}: that is what is read; choose another file")
        folder = os.path.dirname(os.path.realpath(file))
        if file.exists() and (is_same(folder, source) or is_same(folder, args.detector)):
            raise OptionsError(f"{option} {file}: its folder is what is read; choose another file")
    if len(outputs) == 2 and may_be_same(args.output, args.scores):
        raise OptionsError(f"--output and --scores are both {args.output}; choose two files")


if __name__ == "__main__":
    leave(main())
