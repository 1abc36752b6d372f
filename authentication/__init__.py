"""From the frames of one camera to a verdict, and what people see of it.

    opening         source and detector, opened at the same time        Opening
    authenticator   a frame and its faces, judged                       Authenticator, Look, look_for_faces
    verdict         from scores to a verdict                            Verdict, CHECKING, AUTHORIZED, UNAUTHORIZED
    scoring         how live each face looks                            Scorer
    identity        whose face it is: evidence over time                Identity
    recognition     ... looks at it; how like an owner it is            Recognition, Likeness
    looks           when a network looks at which face                  Looks
    challenge       random turns of the head                            Challenge
    absence         when nobody has been in sight for too long          Absence
    session         the loop: look, act, show, record                   watch, Ending, Consequences
    gate            --once: its answers                                 Gate
    lockout, asker  ... too many refusals; who asks from elsewhere      Lockout, why_elsewhere
    interruption    Ctrl-C and its kind                                 interruption, Stop
    view, drawing, tracks, window, recorder                             View, annotate, SmoothBoxes, Window, Recorder

What a verdict leads to is handed in (session.Consequences); this folder knows nothing of it. Nothing is imported here:
the authenticator starts often, and most starts need only some of it.
"""
