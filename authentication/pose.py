"""How far a head is turned, and what tells it from a photo that is tilted.

Measured with this detector: photos of three people, 1200 of them moved, tilted by 25 to 65 degrees about any
axis, bent or not, near or far, and 2084 held still on a grid of such poses; live faces of three people, of
whom one turns his head far, and to one side only (its mirror image measures alike).
"""

import numpy as np

# Poses, as `pose` measures them. Who looks at the screen: within 0.1; talking, looking about a little: 0.2.
FRONTAL = 0.2
# A live head that turns: 0.6 to 1.3; it passes this value when its eyes are still on the screen. Photos:
# below 0.15 most of the time, 0.29 at 45 degrees, 0.52 for a moment at 55 and more, where the detector begins
# to see things; 0.40 at most when moved, held for TURN_HOLD_S and looking like a head by the next two. On the
# grid, 2 bent photos at 55 degrees and more pass all three; no flat one does.
TURNED = 0.45
# The face's box, width by height, against the same frontal face's: a head is as deep as it is wide, so its
# box stays at 0.89 to 0.99 while it turns; a photo's goes with the cosine of the tilt: 0.71 at 45 degrees,
# 0.57 at 55.
NARROWEST = 0.8
# The detector's confidence against the same frontal face's: 0.98 and more for a live head that turns; most
# squeezed photos that look turned to it have 0.6 to 0.9.
LEAST_SURE = 0.9


def pose(face: np.ndarray) -> float:
    """How far the head is turned: 0 frontal, above 0 to the user's own left, below 0 to the right.

    face: float (>=14,), a row of FaceDetector.detect, of a picture that is not mirrored. Returned is the nose's
    place along the line of the eyes, in eye distances from the line between eyes and mouth. The axes are the
    face's own, so whatever tilts, shears or stretches a flat picture of a face moves the nose with them and changes
    nothing; the nose of a head stands before that plane, and goes aside. Measured along the eye line alone, a
    photo reaches 0.4 when it is tilted by 45 degrees about a diagonal axis.
    """
    right_eye, left_eye, nose, right_mouth, left_mouth = face[4:14].astype(float).reshape(5, 2)
    middle = (right_eye + left_eye) / 2
    eyes, down, nose = left_eye - right_eye, (right_mouth + left_mouth) / 2 - middle, nose - middle
    area = eyes[0] * down[1] - eyes[1] * down[0]
    # Not above 0: eyes and mouth in one line, or a face inside out. No face is seen so, but a detector may
    # err.
    return (nose[0] * down[1] - nose[1] * down[0]) / area if area > 0 else 0.0
