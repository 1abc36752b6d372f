"""LivenessNet: the network (Keras), the file it is kept in, and the fast way to run it (OpenCV DNN).

    model = LivenessNet.build(width=32, height=32, depth=3, classes=2)
    save(model, "liveness.model", labels=["fake", "real"], details={...})
    network = load("liveness.model", "le.pickle")
    network.log_odds(crops)                            # 0 is the operating point

A saved model is one zip: the Keras archive, readable by ``keras.models.load_model`` under a name that
ends in .keras, with two more members that Keras ignores: the same network as ONNX, which OpenCV runs
forty times faster and without importing TensorFlow, and a JSON with what inference must know.
The parts are in model_file/.
"""

from model_file.encoder import LABELS, read_labels, write_labels
from model_file.inference import FastNet, load
from model_file.network import LivenessNet, import_keras
from model_file.reading import ModelError

__all__ = [
    "LABELS",
    "FastNet",
    "LivenessNet",
    "ModelError",
    "import_keras",
    "load",
    "read_labels",
    "save",
    "write_labels",
]


def save(model, path, labels: list[str], details: dict, check=None, owners=None, network: str = "") -> None:
    """See model_file.saving.save; onnx is imported only where something is saved."""
    from model_file.saving import save as write

    write(model, path, labels, details, check, owners, network)
