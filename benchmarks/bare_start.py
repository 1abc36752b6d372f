"""The least that a first verdict takes: OpenCV, the two networks, and half a second of a video looked at.

    python benchmarks/bare_start.py VIDEO WEIGHTS GRAPH SIDE

No options, no checks of what is read, no log, no alerts, no evidence weighed: benchmark.py sets the authenticator's
start beside it. GRAPH, SIDE: the inference graph out of a model's archive, and the side of its input in pixels.
"""

import os
import queue
import sys
import threading

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import cv2
import numpy as np

# What clear evidence takes, and where the authenticator looks for faces (see verdict.py, face_detector/yunet.py).
FIRST_VERDICT_MS, DETECTION_SIDE = 450, 320

video, weights, graph = sys.argv[1:4]
side = int(sys.argv[4])
cv2.setNumThreads(1)
looked: queue.SimpleQueue = queue.SimpleQueue()


def look() -> None:
    capture = cv2.VideoCapture(video)
    frame = capture.read()[1]
    scale = min(1.0, DETECTION_SIDE / max(frame.shape[:2]))
    size = round(frame.shape[1] * scale), round(frame.shape[0] * scale)
    detector = cv2.FaceDetectorYN.create(weights, "", size)
    while frame is not None:
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        looked.put((frame, detector.detect(small)[1], scale))
        if capture.get(cv2.CAP_PROP_POS_MSEC) >= FIRST_VERDICT_MS:
            break
        frame = capture.read()[1]
    looked.put(None)


threading.Thread(target=look, daemon=True).start()
network = cv2.dnn.readNetFromONNX(graph)
frames = 0
while found := looked.get():
    frames += 1
    frame, faces, scale = found
    if faces is None:
        continue
    x, y, width, height = (faces[0, :4] / scale).astype(int)
    around = frame[max(y - height // 2, 0) : y + 3 * height // 2, max(x - width // 2, 0) : x + 3 * width // 2]
    view = cv2.resize(
        cv2.resize(around, (96, 96), interpolation=cv2.INTER_AREA), (side, side), interpolation=cv2.INTER_AREA
    )
    network.setInput(view[None].astype(np.float32) / 255)
    network.forward()
print(f"{frames} frames", flush=True)
os._exit(0)  # the thread may still be in OpenCV
