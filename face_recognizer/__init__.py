"""Whose face it is: a network that turns a face into numbers, run by OpenCV DNN.

    recognizer = Recognizer()                          # fetches the weights on first use
    if not unfit(frame, faces[0]):                     # large, sharp, lit, looking ahead
        embedding = recognizer.embed(frame, faces[0])  # float32 (128,), of length 1
        embedding @ other                              # the comparison score, -1 to 1

README.md in this folder says which network it is and where its weights come from.
"""

from face_recognizer.alignment import aligned
from face_recognizer.fitness import TURNED_AWAY, unfit
from face_recognizer.sface import EMBEDDING_SIZE, NETWORK, Recognizer, RecognizerError

__all__ = ["EMBEDDING_SIZE", "NETWORK", "Recognizer", "RecognizerError", "TURNED_AWAY", "aligned", "unfit"]
