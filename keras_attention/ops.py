"""`keras.ops`, imported when an operation is first used.

So the reader of LiteRT files and the command line can create strategies where Keras is not installed, or
not imported yet.
"""


def __getattr__(name):
    from keras import ops

    operation = globals()[name] = getattr(ops, name)
    return operation
