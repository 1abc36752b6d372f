"""The witness beside LivenessNet: a network that has seen many people, rooms and screens, run by OpenCV DNN.

    witness = Witness()                   # fetches the weights on first use
    witness.look(frame, faces[0, :4])     # log odds of a live face, 0 at the operating point

README.md in this folder says which network it is and where its weights come from.
"""

from anti_spoofing.minifasnet import View, Witness, WitnessError, WitnessMissing, view, view_of_crop

__all__ = ["View", "Witness", "WitnessError", "WitnessMissing", "view", "view_of_crop"]
