"""`keras.ops`, imported at the first operation.

So strategies can be described where Keras is not installed, or has not been imported yet: by the reader of
LiteRT files and by the command line.
"""


def __getattr__(name):
    from keras import ops

    operation = globals()[name] = getattr(ops, name)
    return operation
