"""Where pictures come from, and where crops are kept: cameras, streams, video files, folders of stills.

    capture.opening     open_source(): whatever a user may name, opened
    capture.source      what every source has; SourceError
    capture.crops       the crops in dataset/, written and read
    capture.ahead       work done ahead, and by several threads at once
    capture.light       is_dark(): whether a picture shows too little to judge

Nothing but OpenCV is imported here: a video file does without what only cameras need, and the authenticator's start
counts.
"""

import os as _os

# Read by OpenCV when it is imported or opens its first video. The decoder's own complaints would stand beside the one
# line that says what is wrong.
_os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
# Windows: without it, Media Foundation takes up to a minute to open some cameras (OpenCV issue 17687).
_os.environ.setdefault("OPENCV_VIDEOIO_MSMF_ENABLE_HW_TRANSFORMS", "0")
# Linux: a hanging camera is given back to us after so many seconds instead of 10.
_os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "4")

import cv2 as _cv2

# What can be done about a bad file or a missing camera, we say ourselves, in one line.
_cv2.utils.logging.setLogLevel(_cv2.utils.logging.LOG_LEVEL_SILENT)
