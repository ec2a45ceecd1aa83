"""The precision in which a machine trains fastest."""

from pathlib import Path

import keras

CPU_FLAGS = {"amx_bf16", "avx512_bf16"}  # on Linux: the CPU multiplies in bfloat16
GPU_CAPABILITY = (8, 0)  # on NVIDIA: Ampere and later multiply in bfloat16


def suitable_precision(cpu_info: Path = Path("/proc/cpuinfo")) -> str:
    """`"mixed_bfloat16"` where the GPU, or else the CPU, multiplies in bfloat16; otherwise `"float32"`."""
    if keras.backend.backend() != "tensorflow":
        return "float32"  # not measured
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        has_bfloat16 = capability >= GPU_CAPABILITY
    else:
        words = cpu_info.read_text().split() if cpu_info.exists() else []
        has_bfloat16 = not CPU_FLAGS.isdisjoint(words)
    return "mixed_bfloat16" if has_bfloat16 else "float32"
