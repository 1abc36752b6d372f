"""The original's frame loop and training, done its way in our environment, for benchmark_parts.py. What stands for
what in it, benchmark.py says.
"""

import time
from pathlib import Path

import cv2
import numpy as np
from benchmark_ours import CAMERA_FPS, WEIGHTS


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
