"""Our own frame loop, gathering and training, measured from within, for benchmark_parts.py."""

import math
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

WEIGHTS = Path(__file__).resolve().parent.parent / "face_detector"
CAMERA_FPS = 30
# A short video several times: the rate of a few frames is none.
ENOUGH_FRAMES = 500


def decoded(video: Path) -> list[tuple[int, float, np.ndarray]]:
    from capture.opening import open_source

    with open_source(str(video)) as source:
        return list(source.frames())


def stopwatch(stages: tuple[str, ...]) -> tuple[dict[str, float], Callable]:
    """Seconds of the CPU by stage, and timed(stage, call), which adds to them."""
    spent = dict.fromkeys(stages, 0.0)

    def timed(stage: str, call: Callable):
        began = time.process_time()
        value = call()
        spent[stage] += time.process_time() - began
        return value

    return spent, timed


def ours(model: str, encoder: str):
    """LivenessNet, witness (None where its weights cannot be had) and detector, set up as liveness_main.py does."""
    import livenessnet
    from anti_spoofing import Witness, WitnessMissing
    from face_detector import FaceDetector

    cv2.setNumThreads(1)
    try:
        witness = Witness()
    except WitnessMissing as missing:
        print(missing, file=sys.stderr)
        witness = None
    return livenessnet.load(model, encoder), witness, FaceDetector(WEIGHTS)


def ours_loop(video: str, model: str, encoder: str, owner: str = "") -> dict:
    """The frame loop as liveness_main.py runs it on a file, with --owner if owner is not "": frames/s and CPU time."""
    import alerts
    from authentication.authenticator import Authenticator, look_for_faces
    from authentication.scoring import Scorer
    from authentication.session import Ending, watch
    from authentication.verdict import Verdict
    from capture.opening import open_source

    network, witness, detector = ours(model, encoder)
    if owner:
        from authentication.identity import identity_of
        from face_recognizer import Recognizer

        recognizer = Recognizer()

    class NeverStop:
        asked = False

    guard = alerts.Alerts(alerts.load_settings(None), Path("incidents"), rehearsal=True, voice=False)
    frames, wall_s, cpu_s = 0, 0.0, 0.0
    while frames < ENOUGH_FRAMES:
        with open_source(video) as source:
            frames += source.length or len(decoded(Path(video)))
            began, cpu_began = time.perf_counter(), time.process_time()
            found = look_for_faces(source, detector)
            identity = identity_of(Path(model), lambda: recognizer, Verdict(), None) if owner else None
            authenticator = Authenticator(Scorer(network, witness), Verdict(), None, identity)
            watch(source, found, authenticator, guard, None, None, Ending(), NeverStop)
            wall_s += time.perf_counter() - began
            cpu_s += time.process_time() - cpu_began
    guard.close()
    return {"fps": frames / wall_s, "cpu_s_per_minute": cpu_s / frames * CAMERA_FPS * 60}


def ours_stages(video: str, model: str, encoder: str) -> dict:
    """Milliseconds of the CPU that each stage takes for a frame, one after the other in one thread."""
    from authentication.drawing import annotate
    from authentication.scoring import LOOKS_PER_S
    from authentication.smoothing import SmoothBoxes
    from authentication.tracks import Tracks
    from authentication.verdict import CHECKING, Verdict
    from authentication.view import NO_BOXES, View
    from face_detector import view
    from face_detector.yunet import shrink
    from model_file.scores import fuse

    network, witness, detector = ours(model, encoder)
    spent, timed = stopwatch(("decode", "resize", "detect", "crop", "classify", "look", "track", "draw"))
    due_s = 0.0
    frames = 0
    tracks, boxes = Tracks(Verdict), SmoothBoxes()
    capture = cv2.VideoCapture(video)
    fps = capture.get(cv2.CAP_PROP_FPS) or CAMERA_FPS
    while (read := timed("decode", capture.read))[0]:
        frame, time_s = read[1], frames / fps
        frames += 1
        timed("resize", lambda: shrink(frame))
        faces = timed("detect", lambda: detector.detect(frame))
        seen = timed("track", lambda: tracks.follow(time_s, frame, faces))
        if seen:
            crops = timed(
                "crop", lambda: np.stack([view(frame, face[:4], network.margin, network.input_size) for face in faces])
            )
            log_odds = timed("classify", lambda: network.log_odds(crops))
            if witness and time_s >= due_s:  # as often as Scorer asks it, of one face
                due_s += 1 / LOOKS_PER_S
                spoof = timed("look", lambda: witness.look(frame, faces[0, :4]))
            for track, value in zip(seen, fuse(spoof, log_odds, network.weight) if witness else log_odds):
                track.log_odds = value
                timed("track", track.judge)
        shown = timed("track", lambda: boxes.update(time_s, {track.number: track.face for track in seen}))
        drawn = View(np.array([*shown.values()]) if shown else NO_BOXES, seen[0].state if seen else CHECKING, 0.5, 0.5)
        timed("draw", lambda: annotate(frame, drawn))
    spent["detect"] -= spent["resize"]  # detect() resizes by itself
    return {stage: 1000 * seconds / frames for stage, seconds in spent.items()}


def ours_gather(video: str, skip: str) -> dict:
    """gather_examples.py as it is, without its start-up."""
    import gather_examples

    frames, saved, wall_s = len(decoded(Path(video))), 0, 0.0
    turns = math.ceil(ENOUGH_FRAMES / frames)
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(turns):
            target = Path(folder, str(turn))
            began = time.perf_counter()
            status = gather_examples.main(["-i", video, "-o", str(target), "-d", str(WEIGHTS), "-s", skip])
            wall_s += time.perf_counter() - began
            if status:
                raise SystemExit(status)
            saved += len(list(target.glob("*.png")))
    return {"fps": turns * frames / wall_s, "crops_per_s": saved / wall_s}


def ours_gather_stages(video: str, folder: str) -> dict:
    """Milliseconds of the CPU for a frame that becomes a crop, written into the folder."""
    import gather_examples
    from capture import crops
    from face_detector import CROP_MARGIN, FaceDetector, cut

    cv2.setNumThreads(1)
    detector = FaceDetector(WEIGHTS)
    spent, timed = stopwatch(("detect", "judge", "crop", "encode", "write"))
    kept = 0
    for index, time_s, frame in decoded(Path(video))[:200]:
        faces = timed("detect", lambda: detector.detect(frame))
        if timed("judge", lambda: gather_examples.unfit(frame, faces)):
            continue
        kept += 1
        picture, inside = timed("crop", lambda: cut(frame, faces[0, :4]))
        crop = crops.Crop(picture, "benchmark", index, "", time_s, CROP_MARGIN, tuple(inside))
        timed("encode", lambda: crops.encode(crop))
        timed("write", lambda: crops.write(Path(folder), crop))
    spent["write"] -= spent["encode"]  # write() encodes by itself
    return {stage: 1000 * seconds / max(kept, 1) for stage, seconds in spent.items()}


def ours_train(dataset: str, epochs: str) -> dict:
    """train.py as it is, looked at from within: fit_s, and the augmentation's share of the CPU's time in it."""
    import train
    from training import fitting, learning

    spent = {"fit": 0.0, "cpu": 0.0, "vary": 0.0}
    fit, vary = learning.fit, fitting.vary

    def timed_fit(*args, **options):
        began, cpu_began = time.perf_counter(), time.process_time()
        history = fit(*args, **options)
        spent["fit"], spent["cpu"] = time.perf_counter() - began, time.process_time() - cpu_began
        return history

    def timed_vary(*args):
        began = time.thread_time()
        view = vary(*args)
        spent["vary"] += time.thread_time() - began
        return view

    learning.fit, fitting.vary = timed_fit, timed_vary
    with tempfile.TemporaryDirectory() as folder:
        status = train.main(
            [
                "-d",
                dataset,
                "-m",
                f"{folder}/liveness.model",
                "-l",
                f"{folder}/le.pickle",
                "-p",
                f"{folder}/plot.png",
                "--detector",
                str(WEIGHTS),
                "--epochs",
                epochs,
            ]
        )
    if status:
        raise SystemExit(status)
    return {"fit_s": spent["fit"], "augmentation_share": spent["vary"] / spent["cpu"]}
