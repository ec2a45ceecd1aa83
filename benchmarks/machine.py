"""The machine and the libraries that the figures were measured with."""

import importlib.metadata
import os
import platform
from pathlib import Path

from keras_attention.training.precision import suitable_precision

PACKAGES = ("keras-attention", "tensorflow", "keras", "torch", "ai-edge-litert", "numpy")


def description() -> dict:
    """Processor, cores, memory, system, and the versions of the measured packages."""
    return {
        "processor": _processor(),
        "bfloat16": suitable_precision() == "mixed_bfloat16",
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
        "versions": {name: _version(name) for name in PACKAGES},
    }


def sentence(described: dict) -> str:
    """A description as a line of text."""
    versions = ", ".join(f"{name} {version}" for name, version in described["versions"].items())
    bfloat16 = "with" if described["bfloat16"] else "without"
    return (
        f"{described['processor']} ({bfloat16} bfloat16), {described['cores']} cores, "
        f"{described['memory_gb']} GB; load before {described['load_before']:.1f}; "
        f"{described['system']}, Python {described['python']}; {versions}."
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = {line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")}
    return ", ".join(sorted(names)) or platform.processor() or "unknown"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
