"""Runs a function as soon as Keras has been imported, whoever imports it."""

import sys

PACKAGE = __name__.partition(".")[0]


def run_after_keras(function) -> None:
    """Calls `function()` now if Keras is imported, otherwise after the import that first loads it."""
    if "keras" in sys.modules:
        function()
    else:
        sys.meta_path.insert(0, _Finder(function))


class _Finder:
    """Delegates to the other finders, and runs the function after the outermost import that loads Keras.

    That is an import of Keras itself, or of a module of this package. Such a module must be complete before
    the function can import the others.
    """

    def __init__(self, function):
        self.function = function
        self.depth = 0  # of nested imports

    def find_spec(self, name, path=None, target=None):
        if name != "keras" and not name.startswith(f"{PACKAGE}."):
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in others)), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module
            spec.loader.exec_module = lambda module: self._execute(execute, module)
        return spec

    def _execute(self, execute, module):
        self.depth += 1
        try:
            execute(module)
        finally:
            self.depth -= 1
        if self.depth == 0 and "keras" in sys.modules and self in sys.meta_path:
            sys.meta_path.remove(self)
            self.function()
