"""How our frame loop grows with faces and pixels, measured from within, for benchmark_parts.py."""

import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from benchmark_ours import decoded, ours, ours_loop


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
            judgement = authenticator.judge(n / 30, picture, found)
            find_ms.append(1000 * (middle - began))
            judge_ms.append(1000 * (time.thread_time() - middle))
        rows.append(
            {
                "faces": count,
                "found": len(found.faces),
                "judged": len(judgement.faces),
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
