"""Which of the GPUs that were found people allow, and what should be said of the others."""

from __future__ import annotations

from collections.abc import Sequence

from gpu.host.devices import Detection, Device


def allowed_of(found: Detection, off: Sequence[str]) -> tuple[list[Device], list[str]]:
    """The GPUs that are not off, and notes. off: UUIDs, or numbers as nvidia-smi shows them."""
    notes = list(found.notes)
    here = [device for device in found.devices if device.kind != "cpu"]
    allowed = [device for device in here if not any(_is(device, name) for name in off)]
    for name in off:
        if here and not any(_is(device, name) for device in here):
            notes.append(f"training.gpus_off: {name!r} is no GPU's UUID or number here")
    refused = [device.name for device in here if device not in allowed]
    if refused:
        notes.append(f"not used, by training.gpus_off in the policy: {', '.join(refused)}")
    return allowed, notes


def _is(device: Device, name: str) -> bool:
    """MIG instances have the number of their GPU."""
    return name == str(device.index) or name.lower() == device.uuid.lower()
