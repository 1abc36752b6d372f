"""Cut the square window round a face that the liveness network judges."""

import cv2
import numpy as np

# The window's side in units of the longer side of the face box. What makes a replay a replay is
# mostly round the face: bezel, hand, screen edge, glare (measured: AUC on unseen people 0.58 with a
# tight crop, 0.83 with this one, all else alike).
CROP_MARGIN = 2.7
# Longest side in pixels of a crop that is stored: twice what training looks at, so that people can see what is in it.
CROP_SIDE = 224
# Side in pixels at which crops are looked at, in training and after it, before they are averaged down to the network's
# input. A multiple of it, for means of whole pixels; 28 kB each, enough for training to zoom in.
VIEW_SIDE = 96
# So many of the frame's outermost pixels are left out all round: cameras and codecs may leave them black, and repeated
# beyond the edge they look like a bezel. No more: what is seen of a real one in a close-up is some pixels wide. (With
# 0 the ACER of unseen recordings was 0.032, with 1 0.012, with 1 % of the frame 0.021, and of close-ups 0.11, 0.12
# and 0.12; two training pairs, eight seeds.)
RIM = 1


def cut(
    frame: np.ndarray, box: np.ndarray, margin: float = CROP_MARGIN, side: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the square window centred on a face, scaled to ``side``.

    frame: uint8 (height, width, 3).
    box: x, y, width, height in pixels; it may reach over the frame's edge.
    margin: side of the window in units of the longer side of the box.
    side: side of the crop in pixels; None: as large as the window, at most CROP_SIDE.
    Returns the crop, uint8 (side, side, 3), where what lies beyond the frame, less its rim (see RIM),
    repeats the frame's edge, and float32 (4,): left, top, right, bottom of the part that shows the
    frame, 0 to 1 of the crop's side.
    """
    rim = RIM if min(frame.shape[:2]) > 2 * RIM else 0
    height, width = (length - 2 * rim for length in frame.shape[:2])
    frame = frame[rim : rim + height, rim : rim + width]
    x, y, w, h = (float(value) for value in box)
    x, y = x - rim, y - rim
    window = max(1, round(margin * max(w, h)))
    side = side or min(window, CROP_SIDE)
    left = round(min(max(x + w / 2, 0), width - 1) - window / 2)
    top = round(min(max(y + h / 2, 0), height - 1) - window / 2)
    x0, x1 = max(left, 0), min(left + window, width)
    y0, y1 = max(top, 0), min(top + window, height)

    # Where that part lies in the crop; at least one pixel, so that there is an edge to repeat.
    scale = side / window
    u0, v0 = min(round((x0 - left) * scale), side - 1), min(round((y0 - top) * scale), side - 1)
    u1, v1 = max(round((x1 - left) * scale), u0 + 1), max(round((y1 - top) * scale), v0 + 1)
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    part = cv2.resize(frame[y0:y1, x0:x1], (u1 - u0, v1 - v0), interpolation=smooth)
    crop = cv2.copyMakeBorder(part, v0, side - v1, u0, side - u1, cv2.BORDER_REPLICATE)
    return crop, np.array([u0, v0, u1, v1], np.float32) / side


def view(frame: np.ndarray, box: np.ndarray, margin: float, side: int) -> np.ndarray:
    """The window round a face as the network is shown it, uint8 (side, side, 3); see cut() and shrunk().

    Not cut to 24 pixels at once, of which a face may fill 9: that would move the frame's edge to a whole one, and what
    is repeated beyond it would be the mean of many of the frame's pixels, where training and its report saw single
    ones. Unseen close-ups were told apart with an AUC of 0.93 instead of 0.96 then (two training pairs, four seeds).
    """
    return shrunk(cut(frame, box, margin, max(VIEW_SIDE, side))[0], side)


def shrunk(crop: np.ndarray, side: int) -> np.ndarray:
    """A crop, uint8 (S, S, 3) with S from side, averaged down to side."""
    return cv2.resize(crop, (side, side), interpolation=cv2.INTER_AREA)


def reach(shape: tuple[int, ...], box: np.ndarray) -> float:
    """How far a frame, (height, width, ...), goes on round the middle of a face box, on the side where it goes
    farthest, in units of the box's longer side: 0.5 where the face fills it."""
    x, y, w, h = (float(value) for value in box)
    height, width = shape[:2]
    middle_x, middle_y = min(max(x + w / 2, 0), width), min(max(y + h / 2, 0), height)
    return max(middle_x, width - middle_x, middle_y, height - middle_y) / max(w, h, 1)


def reach_within(inside: np.ndarray, margin: float) -> np.ndarray:
    """The same from what cut() returned for N faces, float (N, 4), at most half the margin: float (N,)."""
    return np.abs(np.asarray(inside) - 0.5).max(axis=1) * margin
