"""Runs a function as soon as Keras has been imported."""

import importlib.util
import sys


def run_after_keras(function) -> None:
    """Calls `function()` now if Keras is imported, else right after its import, if there is one."""
    if "keras" in sys.modules:
        function()
    else:
        sys.meta_path.insert(0, _Finder(function))


class _Finder:
    """Finds Keras as every other finder does, and runs the function after its code."""

    def __init__(self, function):
        self.function = function

    def find_spec(self, name, path=None, target=None):
        if name != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            execute = spec.loader.exec_module

            def execute_and_run(module):
                execute(module)
                self.function()

            spec.loader.exec_module = execute_and_run
        return spec
