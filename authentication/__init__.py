"""From the frames of one camera to a verdict, and what people see of it.

    opening         source and detector, opened at the same time        Opening
    authenticator   a frame and its faces, judged                       Authenticator, Look, look_for_faces
    verdict         from scores to a verdict                            Verdict, CHECKING, AUTHORIZED, UNAUTHORIZED
    scoring         how live each face looks                            Scorer
    identity        whose face it is: evidence over time                Identity
    recognition     ... looks at it; how like an owner it is            Recognition, Likeness
    looks           when a network looks at which face                  Looks
    challenge       random turns of the head                            Challenge
    session         the loop: look, act, show, record                   watch, Ending, Consequences
    interruption    Ctrl-C and its kind                                 interruption, Stop
    view, drawing, tracks, window, recorder                             View, annotate, SmoothBoxes, Window, Recorder

What a verdict leads to is handed in (session.Consequences); this folder knows nothing of it. Nothing is imported here:
the authenticator starts often, and most starts need only some of it.
"""
