"""What every reader of pickles that came from outside must expect."""

import pickle

# By the byte that is damaged, reading one fails in any of these ways.
DAMAGED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)
