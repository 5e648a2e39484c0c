"""List AMD GPUs by the files that the kernel driver keeps, without starting the ROCm runtime."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpu.host.machine import MIB

CARDS = Path("/sys/class/drm")


@dataclass(frozen=True, slots=True)
class AmdGpu:
    """An AMD GPU. index: as HIP numbers what ROCR_VISIBLE_DEVICES leaves of them."""

    uuid: str
    index: int
    name: str
    total_mib: int
    free_mib: int


def list_amd_gpus(
    environ: Mapping[str, str], cards: Path = CARDS
) -> tuple[list[AmdGpu], list[str]]:
    """The AMD GPUs that may be used, and notes on what could not be read.

    ROCR_VISIBLE_DEVICES is applied first and renumbers what it leaves; HIP_VISIBLE_DEVICES, or
    CUDA_VISIBLE_DEVICES where that is missing, counts in those numbers.
    """
    gpus: list[AmdGpu] = []
    notes: list[str] = []
    for folder in sorted(cards.glob("card*/device"), key=_card_number):
        if _card_number(folder) < 0 or not (folder / "mem_info_vram_total").exists():
            continue
        gpu = _read(folder, len(gpus))
        if gpu is None:
            # HIP counts it all the same, so the numbers of the others would be wrong without it.
            notes.append(f"AMD: {folder.parent.name}: its memory cannot be read")
            gpu = AmdGpu(f"rocm-{len(gpus)}", len(gpus), "AMD GPU", 0, 0)
        if any(other.uuid == gpu.uuid for other in gpus):
            gpu = dataclasses.replace(gpu, uuid=f"{gpu.uuid}-{gpu.index}")
        gpus.append(gpu)
    reachable = environ.get("ROCR_VISIBLE_DEVICES")
    if reachable is not None:
        gpus = [
            dataclasses.replace(gpu, index=position)
            for position, gpu in enumerate(_chosen(gpus, reachable))
        ]
    visible = environ.get("HIP_VISIBLE_DEVICES", environ.get("CUDA_VISIBLE_DEVICES"))
    if visible is not None:
        gpus = _chosen(gpus, visible)
    return [gpu for gpu in gpus if gpu.total_mib > 0], notes


def free_of(uuid: str, cards: Path = CARDS) -> int | None:
    """Free memory of a GPU now, in MiB; None if it is not there or cannot be read."""
    gpus, _ = list_amd_gpus({}, cards)
    return next((gpu.free_mib for gpu in gpus if gpu.uuid == uuid), None)


def _card_number(folder: Path) -> int:
    """card10 comes after card2; connectors such as card0-DP-1 are none."""
    match = re.fullmatch(r"card(\d+)", folder.parent.name)
    return int(match[1]) if match else -1


def _read(folder: Path, index: int) -> AmdGpu | None:
    try:
        total = int((folder / "mem_info_vram_total").read_text(encoding="ascii"))
        used = int((folder / "mem_info_vram_used").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    unique = _text(folder / "unique_id")
    # Consumer cards without a number of their own all say 0.
    uuid = f"GPU-{unique}" if unique.strip("0") else f"rocm-{index}"
    name = _text(folder / "product_name") or "AMD GPU"
    return AmdGpu(uuid, index, name, total // MIB, max(0, total - used) // MIB)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _chosen(gpus: list[AmdGpu], setting: str) -> list[AmdGpu]:
    """In the setting's order; all from the first entry on that names no GPU is ignored."""
    chosen: list[AmdGpu] = []
    for word in setting.split(","):
        name = word.strip()
        if name.isdigit():
            matches = [gpu for gpu in gpus if gpu.index == int(name)]
        else:
            matches = [gpu for gpu in gpus if name and gpu.uuid.lower() == name.lower()]
        if not matches:
            break
        if matches[0] not in chosen:
            chosen.append(matches[0])
    return chosen
