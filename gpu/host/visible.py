"""Cut the GPUs of this machine to those that CUDA_VISIBLE_DEVICES names."""

from __future__ import annotations

from gpu.host.nvidia import Gpu


def visible_of(gpus: list[Gpu], setting: str | None) -> tuple[list[Gpu], list[str]]:
    """Cut the GPUs to CUDA_VISIBLE_DEVICES: numbers, UUIDs or their beginnings, in its order.

    As CUDA does it, everything from the first entry on that names no GPU is ignored. The number of
    a GPU, or its UUID, stands for all its MIG instances.
    """
    if setting is None:
        return gpus, _numbering_note(gpus, [])
    chosen: list[Gpu] = []
    words = [word.strip() for word in setting.split(",")]
    notes = _numbering_note(gpus, words)
    for name in words:
        matches = _named(gpus, name)
        if not matches:
            if gpus and name not in ("", "-1", "NoDevFiles"):
                notes.append(
                    f"CUDA_VISIBLE_DEVICES: {name!r} names no GPU here, or more than one; it and "
                    "what follows it is ignored"
                )
            break
        chosen += [gpu for gpu in matches if gpu not in chosen]
    if gpus and not chosen:
        notes.append(f"CUDA_VISIBLE_DEVICES={setting!r} hides {_counted(len(gpus))}")
    return chosen, notes


def _named(gpus: list[Gpu], name: str) -> list[Gpu]:
    if name.isdigit():
        return [gpu for gpu in gpus if gpu.index == int(name)]
    if name.startswith("MIG-GPU-"):
        # The older form: MIG-<UUID of the GPU>/<GPU instance>/<compute instance>.
        return [gpu for gpu in gpus if gpu.uuid == name]
    if not name.startswith(("GPU-", "MIG-")):
        return []
    lowered = name.lower()
    # A beginning that fits several names none of them.
    exact = [gpu for gpu in gpus if gpu.uuid.lower().startswith(lowered)]
    if exact:
        return exact if len(exact) == 1 else []
    instances = [gpu for gpu in gpus if gpu.gpu_uuid.lower().startswith(lowered)]
    return instances if len({gpu.gpu_uuid for gpu in instances}) == 1 else []


def _numbering_note(gpus: list[Gpu], words: list[str]) -> list[str]:
    models = {gpu.name for gpu in gpus if gpu.uuid == gpu.gpu_uuid}
    if len(models) > 1 and any(word.isdigit() for word in words):
        return [
            "CUDA_VISIBLE_DEVICES: the GPUs are of different models; their numbers are taken as "
            "nvidia-smi shows them, CUDA by default puts the fastest first. UUIDs are unambiguous"
        ]
    return []


def _counted(count: int) -> str:
    return "the GPU" if count == 1 else f"all {count} GPUs"
