"""liveness.model and le.pickle: LivenessNet, the two files it is kept in, and the fast way to run it.

    model_file.network     LivenessNet in Keras
    model_file.saving      a trained one, written as Keras archive and inference graph in one file
    model_file.inference   that file read again, and run by OpenCV DNN
    model_file.owners      the owners' templates in that file
    model_file.encoder     the label encoder
    model_file.scores      what calibration, weight and both witnesses' words come to

The rest is theirs. livenessnet.py gives all of it under one name.
"""
