"""Fits LivenessNet to crops, as Keras networks are fitted."""

import math
import sys

import numpy as np
from tqdm import tqdm

from face_detector import shrunk
from storage.user_error import UserError
from training.augmentation import vary

CURVES = ("loss", "accuracy", "val_loss", "val_accuracy")
# Training ends once so many epochs have lowered the loss on the held-out crops by no more than that.
PATIENCE, LEAST_GAIN = 8, 1e-2


class Diverged(UserError):
    """Training led to weights that are no numbers; the message is one line that says what to do."""


def fit(
    keras,
    model,
    training: tuple,
    held_out: tuple,
    *,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    seed: int,
    show: bool = True,
) -> dict[str, list[float]]:
    """Train a LivenessNet in place; returns loss and accuracy after each epoch, by the names of CURVES.

    keras: see livenessnet.import_keras. model: a LivenessNet, not compiled. training, held_out: crops, uint8
    (N, S, S, 3) BGR, whether each is live, bool (N,), and how much it weighs, float (N,). epochs: at most. show: tell
    the progress. seed: of the order and the variations of the crops. Raises Diverged.
    """
    size = model.input_shape[1]
    train_ds = batches(keras, *training, size, batch_size, seed)
    crops, is_real, weights = held_out
    val_data = as_input(crops, size), one_hot(is_real), weights
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss="binary_crossentropy",
        weighted_metrics=["accuracy"],
        jit_compile=False,  # compiled by XLA, a step of a network of this size takes twice as long
    )
    callbacks = [
        keras.callbacks.EarlyStopping(
            monitor="val_loss", min_delta=LEAST_GAIN, patience=PATIENCE, restore_best_weights=True
        )
    ]
    if show:
        callbacks.append(progress(keras, epochs))
    history = model.fit(train_ds, validation_data=val_data, epochs=epochs, verbose=0, callbacks=callbacks).history
    # No epoch gave numbers, or the best one's weights are infinite, which may give some.
    if not np.isfinite(history["val_loss"]).any() or not all(np.isfinite(part).all() for part in model.get_weights()):
        raise Diverged(f"training has come to no numbers: train with a --learning-rate below {learning_rate:g}")
    return history


def batches(keras, crops: np.ndarray, is_real: np.ndarray, weights: np.ndarray, size: int, batch_size: int, seed: int):
    """The crops of an epoch in batches, shuffled and varied anew each time, as a keras.utils.PyDataset."""

    class Batches(keras.utils.PyDataset):
        def __init__(self):
            super().__init__()
            self._rng = np.random.default_rng(seed)
            self.on_epoch_end()

        def __len__(self) -> int:
            return math.ceil(len(crops) / batch_size)

        def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            rows = self._order[number * batch_size : (number + 1) * batch_size]
            views = np.stack([vary(crops[row], size, self._rng) for row in rows])
            return views / np.float32(255), one_hot(is_real[rows]), weights[rows]

        def on_epoch_end(self) -> None:
            self._order = self._rng.permutation(len(crops))

    return Batches()


def as_input(crops: np.ndarray, size: int) -> np.ndarray:
    """Crops, uint8 (N, S, S, 3), as the authenticator shows them to the network: float32 (N, size, size, 3), 0 to 1."""
    return np.stack([shrunk(crop, size) for crop in crops]) / np.float32(255)


def one_hot(is_real: np.ndarray) -> np.ndarray:
    """bool (N,) -> float32 (N, 2), the network's outputs: fake, real."""
    return np.eye(2, dtype=np.float32)[np.asarray(is_real, int)]


def progress(keras, epochs: int):
    """Tells of each epoch as it ends: with a bar where somebody watches, else in a line."""
    bar = tqdm(total=epochs, unit="epoch", file=sys.stdout, disable=not sys.stdout.isatty())

    def tell(epoch: int, logs: dict) -> None:
        words = ", ".join(f"{name} {logs[name]:.3f}" for name in CURVES)
        bar.set_postfix_str(words, refresh=False)
        bar.update()
        if bar.disable:
            print(f"Epoch {epoch + 1}/{epochs}: {words}", flush=True)

    return keras.callbacks.LambdaCallback(on_epoch_end=tell, on_train_end=lambda logs: bar.close())
