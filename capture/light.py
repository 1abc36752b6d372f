"""Is there enough light in a picture to judge it?"""

import cv2
import numpy as np

# A frame is dark where less than this share of it is brighter than this, of 255. Measured on five recordings, three
# live and two replayed, darkened step by step: down to a fifth of their brightness every face is found and no frame
# is dark. At an eighth all are: there LivenessNet takes what it can hardly see for live, even a replay that it
# scored 0.02 in full light (0.9). A phone's screen is bright, and takes more than this share once the face on it has
# the 24 pixels of width that gather_examples.py asks for (in 640x480).
DARK_LEVEL, LIT_SHARE = 32, 0.005


def is_dark(frame: np.ndarray) -> bool:
    """Is there too little light to tell anything? frame: uint8 (height, width, 3) BGR of any size.

    Takes 0.03 ms at 1920x1080.
    """
    # Every pixel would cost 40 times as much. The blur keeps a camera's noise in darkness from counting as light.
    small = cv2.blur(cv2.resize(frame, (160, 120), interpolation=cv2.INTER_NEAREST), (3, 3))
    return bool(np.count_nonzero(small > DARK_LEVEL) < LIT_SHARE * small.size)
