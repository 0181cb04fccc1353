"""The surroundings of a run: machine, interpreter, packages, accelerators, and the variables that say how they work.

Only variables of the list below are recorded at all, by name or by beginning, and what they hold is scrubbed as well.
"""

from __future__ import annotations

import os
import platform
import shutil
import site
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from deriva_ml_prefect.provenance.scrub import Scrubber

_NAMES = frozenset({
    "PATH", "HOSTNAME", "LANG", "LANGUAGE", "TZ", "SHELL", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "KMP_AFFINITY",
    "PYTHONHASHSEED", "PYTHONPATH", "PYTHONUNBUFFERED", "PYTHONOPTIMIZE", "PYTHONWARNINGS", "CUBLAS_WORKSPACE_CONFIG",
    "TF_DETERMINISTIC_OPS", "TF_ENABLE_ONEDNN_OPTS", "TF_FORCE_GPU_ALLOW_GROWTH", "TOKENIZERS_PARALLELISM", "XLA_FLAGS",
    "WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "CI", "GITHUB_SHA", "GITHUB_REF",
    "GITHUB_RUN_ID", "GITHUB_REPOSITORY", "PBS_JOBID", "LSB_JOBID", "JOB_ID", "KUBERNETES_SERVICE_HOST",
    "PREFECT_PROFILE", "PREFECT__FLOW_RUN_ID", "CONTAINER", "SINGULARITY_CONTAINER", "APPTAINER_CONTAINER",
})  # fmt: skip
_BEGINNINGS = (
    "LC_", "CUDA_", "NVIDIA_", "NCCL_", "ROCR_", "HIP_", "OMP_", "MKL_", "OPENBLAS_", "NUMEXPR_", "TORCH_", "PYTORCH_",
    "JAX_", "SLURM_", "CONDA_", "DERIVA_ML_", "DERIVA_MCP_",
)  # fmt: skip


def environment_snapshot(
    scrubber: Scrubber, *, environ: Mapping[str, str] | None = None, argv: Sequence[str] | None = None
) -> dict[str, Any]:
    """JSON-able facts under deriva-ml's names (`imports, os, sys, sys_path, site, platform, gpu`), without secrets."""
    env = os.environ if environ is None else environ
    arguments = scrubber.argv(sys.argv if argv is None else argv)
    return {
        "imports": installed_packages(),
        "os": {
            "environ": scrubber.mapping(allowed_variables(env)),
            "cwd": scrubber.text(_current_folder()),
            "cpu_count": os.cpu_count(),
            "pid": os.getpid(),
        },
        "sys": {
            "argv": arguments,
            "executable": scrubber.text(sys.executable),
            "version": sys.version,
            "prefix": scrubber.text(sys.prefix),
            "byteorder": sys.byteorder,
        },
        "sys_path": [scrubber.text(entry) for entry in sys.path],
        "site": {"packages": [scrubber.text(entry) for entry in site.getsitepackages()], "user": site.ENABLE_USER_SITE},
        "platform": {
            "platform": platform.platform(),
            "machine": platform.machine(),
            "processor": platform.processor(),
            "python_implementation": platform.python_implementation(),
            "python_version": platform.python_version(),
            "node": platform.node(),
        },
        "gpu": accelerators(),
    }


def allowed_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that may be recorded, sorted by name."""
    return {n: environ[n] for n in sorted(environ) if n in _NAMES or n.startswith(_BEGINNINGS)}


def installed_packages() -> dict[str, str]:
    """Name → version of every installed distribution, sorted."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        name, version = _name_and_version(distribution)
        if name and name not in found:  # the first on sys.path is the one that is imported
            found[name] = version
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))


def _name_and_version(distribution: metadata.Distribution) -> tuple[str, str]:
    """Both from the head of the metadata; as a whole, with the long description, it takes ten times as long to read."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    fields = dict(line.partition(": ")[::2] for line in text.partition("\n\n")[0].splitlines() if ": " in line)
    return fields.get("Name", "").strip(), fields.get("Version", "").strip()


def accelerators() -> list[dict[str, str]]:
    """The NVIDIA devices of this machine; empty where there are none, or the driver does not answer in 5 s."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    fields = ("name", "uuid", "memory.total", "driver_version")
    try:
        done = subprocess.run(
            [tool, f"--query-gpu={','.join(fields)}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [
        dict(zip(fields, map(str.strip, line.split(",")), strict=False)) for line in done.stdout.splitlines() if line
    ]


def _current_folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return ""
