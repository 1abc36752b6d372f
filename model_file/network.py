"""LivenessNet itself, in Keras."""

import os
import sys

# Batch normalisation's running statistics forget in tens of steps: two short videos make for a few hundred
# steps in all, after which Keras' 0.99 still remembers the untrained network.
BN_MOMENTUM = 0.9


class LivenessNet:
    @staticmethod
    def build(width: int, height: int, depth: int, classes: int):
        """The original's layers: 148,562 parameters at 32 x 32 x 3 and two classes.

        Input float32 (batch, height, width, depth), 0 to 1, channels BGR; output float32 (batch, classes),
        probabilities.
        Source: A. Rosebrock, "Liveness Detection with OpenCV", 2019.
        """
        keras = import_keras()
        layers = keras.layers
        # Handed over all at once: with every add() Keras builds the network anew.
        stack = [keras.Input((height, width, depth))]
        for filters in (16, 32):
            for _ in range(2):
                stack.append(layers.Conv2D(filters, 3, padding="same", activation="relu"))
                stack.append(layers.BatchNormalization(momentum=BN_MOMENTUM))
            stack.append(layers.MaxPooling2D())
            stack.append(layers.Dropout(0.25))
        stack.append(layers.Flatten())
        stack.append(layers.Dense(64, activation="relu"))
        stack.append(layers.BatchNormalization(momentum=BN_MOMENTUM))
        stack.append(layers.Dropout(0.5))
        stack.append(layers.Dense(classes, activation="softmax"))
        return keras.Sequential(stack)


def import_keras():
    """Keras on TensorFlow, imported without what TensorFlow has to say about this machine's processor.

    Its C++ part writes those lines straight to standard error before any setting can reach it.
    """
    import gc
    import tempfile

    if "keras" in sys.modules:
        return sys.modules["keras"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    sys.stderr.flush()
    kept = os.dup(2)
    collecting = gc.isenabled()
    # A third of the import is the search for garbage among a million objects that are all there to stay.
    gc.disable()
    try:
        with tempfile.TemporaryFile() as sink:
            os.dup2(sink.fileno(), 2)
            import keras
            import tensorflow  # noqa: F401  (the part that talks)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        gc.freeze()
        if collecting:
            gc.enable()
    return keras
