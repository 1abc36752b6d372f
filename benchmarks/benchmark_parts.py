"""What benchmark.py measures from within: each part runs in a process of its own and prints what it found as JSON.

python benchmarks/benchmark_parts.py ours_stages videos/real.mp4 liveness.model le.pickle
"""

import contextlib
import json
import math
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the scripts do

import cv2  # noqa: E402
import numpy as np  # noqa: E402

WEIGHTS = ROOT / "face_detector"
CAMERA_FPS = 30
# A short video several times: the rate of a few frames is none.
ENOUGH_FRAMES = 500


def set_up(video: str, sample: str) -> dict:
    """The machine, the sample videos (made if need be), and the video to measure on ("": the live one)."""
    from training.sample_video import make_sample

    real, fake = make_sample(Path(sample))
    chosen = Path(video) if video else real
    frames = decoded(chosen)
    processor = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        names = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
        processor = names[0] if names else processor
    return {
        "machine": {
            "processor": processor,
            "cores": cv2.getNumberOfCPUs(),
            "system": platform.system(),
            "python": platform.python_version(),
            "opencv": cv2.__version__,
        },
        "video": {
            "name": str(chosen),
            "frames": len(frames),
            "width": frames[0][2].shape[1],
            "height": frames[0][2].shape[0],
        },
        "sample": [str(real), str(fake)],
    }


def multiply(folder: str, target: str, count: str) -> dict:
    """So many crops, half of them fake, those in a folder over and over, as if of many recordings of 200 frames."""
    from capture import crops

    for label in ("real", "fake"):
        files = sorted(Path(folder, label).glob("*.png"))
        Path(target, label).mkdir(parents=True)
        for number in range(int(count) // 2):
            recording, frame = divmod(number, 200)
            crop = crops.read(files[number % len(files)])
            # Of one video they would be copies, which are learned from once.
            crops.write(
                Path(target, label),
                replace(
                    crop,
                    recording=f"r{recording}",
                    frame=frame,
                    source=f"{label}{recording}",
                    time_s=frame / CAMERA_FPS,
                ),
            )
    return {}


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


# --- Ours, from inside ---


def ours_loop(video: str, model: str, encoder: str) -> dict:
    """The frame loop as liveness_main.py runs it on a file: frames/s and CPU time."""
    import alerts
    from authentication.authenticator import Authenticator, look_for_faces
    from authentication.scoring import Scorer
    from authentication.session import Ending, watch
    from authentication.verdict import Verdict
    from capture.opening import open_source

    network, witness, detector = ours(model, encoder)

    class NeverStop:
        asked = False

    guard = alerts.Alerts(alerts.load_settings(None), Path("incidents"), rehearsal=True, voice=False)
    frames, wall_s, cpu_s = 0, 0.0, 0.0
    while frames < ENOUGH_FRAMES:
        with open_source(video) as source:
            frames += source.length or len(decoded(Path(video)))
            began, cpu_began = time.perf_counter(), time.process_time()
            found = look_for_faces(source, detector)
            authenticator = Authenticator(Scorer(network, witness), Verdict())
            watch(source, found, authenticator, guard, None, None, Ending(), NeverStop)
            wall_s += time.perf_counter() - began
            cpu_s += time.process_time() - cpu_began
    guard.close()
    return {"fps": frames / wall_s, "cpu_s_per_minute": cpu_s / frames * CAMERA_FPS * 60}


def ours_stages(video: str, model: str, encoder: str) -> dict:
    """Milliseconds of the CPU that each stage takes for a frame, one after the other in one thread."""
    from authentication.drawing import annotate
    from authentication.scoring import LOOKS_PER_S
    from authentication.tracks import SmoothBoxes
    from authentication.verdict import Verdict
    from authentication.view import View
    from face_detector import view
    from face_detector.yunet import shrink
    from model_file.scores import fuse, probability

    network, witness, detector = ours(model, encoder)
    spent, timed = stopwatch(("decode", "resize", "detect", "crop", "classify", "look", "track", "draw"))
    due_s = 0.0
    frames = 0
    verdict, boxes = Verdict(), SmoothBoxes()
    capture = cv2.VideoCapture(video)
    fps = capture.get(cv2.CAP_PROP_FPS) or CAMERA_FPS
    while (read := timed("decode", capture.read))[0]:
        frame, time_s = read[1], frames / fps
        frames += 1
        timed("resize", lambda: shrink(frame))
        faces = timed("detect", lambda: detector.detect(frame))
        scores = []
        if len(faces):
            crops = timed(
                "crop", lambda: np.stack([view(frame, face[:4], network.margin, network.input_size) for face in faces])
            )
            log_odds = timed("classify", lambda: network.log_odds(crops))
            if witness and time_s >= due_s:  # as often as Scorer asks it, of one face
                due_s += 1 / LOOKS_PER_S
                word = timed("look", lambda: witness.look(frame, faces[0, :4]))
            scores = probability(fuse(word, log_odds, network.weight) if witness else log_odds).tolist()
        state = timed("track", lambda: verdict.update(time_s, min(scores, default=None)))
        shown = timed("track", lambda: boxes.update(time_s, faces))
        timed("draw", lambda: annotate(frame, View(shown, state, 0.5, 0.5)))
    spent["detect"] -= spent["resize"]  # detect() resizes by itself
    return {stage: 1000 * seconds / frames for stage, seconds in spent.items()}


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


# --- The original's way ---


def original_loop(video: str, started: str, limit: str) -> dict:
    """Every frame resized and drawn on, every face to model.predict. first_result_s: since the process' start."""
    import imutils

    import livenessnet
    from face_detector import FaceDetector, cut

    livenessnet.import_keras()
    side = 32
    # Untrained: what it says takes no longer.
    network, detector = livenessnet.LivenessNet.build(side, side, 3, 2), FaceDetector(WEIGHTS)
    capture, frames, first = cv2.VideoCapture(video), 0, None
    began, cpu_began = time.perf_counter(), time.process_time()
    while frames < int(limit) and (read := capture.read())[0]:
        frames += 1
        frame = imutils.resize(read[1], width=600)
        for face in detector.detect(frame):
            crop = cut(frame, face[:4], 1.0, side)[0].astype(np.float32) / 255
            p_real = network.predict(crop[None], verbose=0)[0, 1]
            first = first or time.time() - float(started)
            left, top, right, bottom = map(round, (*face[:2], *(face[:2] + face[2:4])))
            cv2.putText(frame, f"real: {p_real:.4f}", (left, top - 10), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 255), 2)
            cv2.rectangle(frame, (left, top), (right, bottom), (0, 0, 255), 2)
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    return {"fps": frames / wall_s, "cpu_s_per_minute": cpu_s / frames * CAMERA_FPS * 60, "first_result_s": first}


def original_train(dataset: str, epochs: str) -> dict:
    """LivenessNet at 32 pixels, ImageDataGenerator, batches of 8."""
    import livenessnet

    livenessnet.import_keras()
    from tensorflow.keras.preprocessing.image import ImageDataGenerator

    files = sorted(Path(dataset).rglob("*.png"))
    images = np.array([cv2.resize(cv2.imread(str(file)), (32, 32)) for file in files], np.float32) / 255
    labels = np.eye(2, dtype=np.float32)[[int(file.parent.name == "real") for file in files]]
    held = np.arange(len(files)) % 4 == 0
    vary = ImageDataGenerator(
        rotation_range=20,
        zoom_range=0.15,
        width_shift_range=0.2,
        height_shift_range=0.2,
        shear_range=0.15,
        horizontal_flip=True,
        fill_mode="nearest",
    )
    model = livenessnet.LivenessNet.build(32, 32, 3, 2)
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    began = time.perf_counter()
    model.fit(
        vary.flow(images[~held], labels[~held], batch_size=8),
        validation_data=(images[held], labels[held]),
        steps_per_epoch=int((~held).sum()) // 8,
        epochs=int(epochs),
        verbose=0,
    )
    return {"fit_s": time.perf_counter() - began}


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
                "--epochs",
                epochs,
            ]
        )
    if status:
        raise SystemExit(status)
    return {"fit_s": spent["fit"], "augmentation_share": spent["vary"] / spent["cpu"]}


# --- How it grows, from inside ---


def ours_faces(video: str, model: str, encoder: str) -> list[dict]:
    """1 to 8 faces in a frame of 1280 by 720 pixels: milliseconds of the CPU."""
    from authentication.authenticator import Authenticator, find
    from authentication.scoring import Scorer
    from authentication.verdict import Verdict
    from face_detector import cut

    network, witness, detector = ours(model, encoder)
    frame, face = next((f, faces[0]) for _, _, f in decoded(Path(video)) if len(faces := detector.detect(f)) == 1)
    tile = cut(frame, face[:4], 2.0, 320)[0]
    rows = []
    for count in range(1, 9):
        picture = np.full((720, 1280, 3), 90, np.uint8)
        for n in range(count):
            y, x = 360 * (n // 4) + 20, 320 * (n % 4)
            picture[y : y + 320, x : x + 320] = tile
        authenticator = Authenticator(Scorer(network, witness), Verdict())
        find_ms, judge_ms = [], []
        for n in range(30):
            began = time.thread_time()
            found = find(detector, picture)
            middle = time.thread_time()
            look = authenticator.judge(n / 30, picture, found)
            find_ms.append(1000 * (middle - began))
            judge_ms.append(1000 * (time.thread_time() - middle))
        rows.append(
            {
                "faces": count,
                "found": len(look.faces),
                "find_ms": statistics.median(find_ms),
                "judge_ms": statistics.median(judge_ms),
            }
        )
    return rows


def ours_sizes(video: str, model: str, encoder: str) -> list[dict]:
    """Frames of 320 to 3840 pixels of width: milliseconds of the CPU, and the frame loop's rate."""
    from authentication.authenticator import Authenticator, find
    from authentication.scoring import Scorer
    from authentication.verdict import Verdict

    network, witness, detector = ours(model, encoder)
    frames = [frame for _, _, frame in decoded(Path(video))[:60]]
    rows = []
    for width in (320, 640, 1280, 1920, 3840):
        height = round(width * frames[0].shape[0] / frames[0].shape[1])
        with tempfile.TemporaryDirectory() as folder:
            scaled = Path(folder, "scaled.mp4")
            writer = cv2.VideoWriter(str(scaled), cv2.VideoWriter_fourcc(*"mp4v"), 30, (width, height))
            for frame in frames:
                writer.write(cv2.resize(frame, (width, height), interpolation=cv2.INTER_CUBIC))
            writer.release()
            authenticator = Authenticator(Scorer(network, witness), Verdict())
            spent = {"decode_ms": [], "find_ms": [], "judge_ms": []}
            capture = cv2.VideoCapture(str(scaled))
            for n in range(len(frames)):
                times = [time.process_time()]
                frame = capture.read()[1]
                times.append(time.process_time())
                found = find(detector, frame)
                times.append(time.process_time())
                authenticator.judge(n / 30, frame, found)
                times.append(time.process_time())
                for name, before, after in zip(spent, times, times[1:]):
                    spent[name].append(1000 * (after - before))
            rate = ours_loop(str(scaled), model, encoder)
        rows.append({"width": width, "height": height, **{k: statistics.median(v) for k, v in spent.items()}, **rate})
    return rows


PARTS = {
    call.__name__: call
    for call in (
        set_up,
        multiply,
        ours_loop,
        ours_stages,
        ours_gather,
        ours_gather_stages,
        ours_train,
        ours_faces,
        ours_sizes,
        original_loop,
        original_train,
    )
}

if __name__ == "__main__":
    # What is measured may have something to say, too.
    with contextlib.redirect_stdout(sys.stderr):
        figures = PARTS[sys.argv[1]](*sys.argv[2:])
    print(json.dumps(figures))
