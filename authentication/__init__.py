"""From the pictures of one camera to a verdict about the most prominent face, and what people see of it.

    opening         source and detector, opened at the same time        Opening
    authenticator   a picture and its faces, judged                     Authenticator, Judgement, look_for_faces
    tracks          each face, followed from picture to picture         Track, Tracks
    prominence      which of them has consequences                      Prominence
    room            pictures in the room, set aside                     Room
    scoring         how live each face looks                            Scorer
    verdict         ... the evidence for one track                      Verdict, CHECKING, AUTHORIZED, UNAUTHORIZED
    identity        whose face it is; the evidence for one track        Identity, OwnerTest
    challenge       random turns of the head                            Challenge, Followed
    absence         when nobody has been in sight for too long          Absence
    session         the loop: judge, act, show, record                  watch, Ending, Consequences
    gate            --once: its answers                                 Gate
    lockout, asker  ... too many refusals; who asks from elsewhere      Lockout, why_elsewhere
    interruption    Ctrl-C and its kind                                 interruption, Stop
    view, drawing, smoothing, window, recorder                          View, annotate, SmoothBoxes, Window, Recorder

What a verdict leads to is handed in (session.Consequences); this folder knows nothing of it. Nothing is imported here:
the authenticator starts often, and most starts need only some of it.
"""
