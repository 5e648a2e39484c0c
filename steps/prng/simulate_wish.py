"""What people ask of a simulated history, from a few words to every detail, as a Scenario.

The short form names one generator; what it leaves out is that generator's usual way:

    {"generator": "java", "count": 600}                  new Random(secret seed).nextInt(1000)
    {"generator": "true", "count": 600}                  true randomness
    {"machines": [{"generator": "java"}, {"generator": "true"}], "count": 600}
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from steps.policies import validation_message
from steps.prng.base import GeneratorError
from steps.prng.generators import GENERATORS, generator_named
from steps.prng.mappings import MappingError, mapping_named
from steps.prng.simulate_history import Entropy, PseudoMachine, Scenario, TrueMachine
from steps.strict_json import shown

TRUE = "true"
# How a program in the generator's own language usually makes a draw; else u % M.
_USUAL_MAPPING = {"java": "next_int"}
_OTHER_MAPPING = "mod"
# Programs that seed themselves take the time, or as many bits as it has.
_SEED_BITS = 32
_MACHINE_KEYS = (*PseudoMachine.model_fields, "seed_bits")
_SCENARIO_KEYS = tuple(name for name in Scenario.model_fields if name != "machines")


class WishError(ValueError):
    """A history that cannot be made; says which key, what was wanted and what was got."""


@dataclass(frozen=True, slots=True)
class Wish:
    """noise_seed: of the random numbers by which draws go missing, are corrupted or reseeded.

    secret: whether a machine's seed was drawn here and stands in the truth alone.
    """

    scenario: Scenario
    noise_seed: int
    secret: bool


def read_wish(asked: Mapping[str, Any], entropy: Entropy) -> Wish:
    """The scenario that was asked for, complete; raises WishError.

    entropy: bytes for what is to be secret: seeds that are left out or null (of seed_bits bits, 32
    where not given), and the noise_seed.
    """
    one = {key: value for key, value in asked.items() if key in _MACHINE_KEYS}
    _refuse_unknown(asked, (*_MACHINE_KEYS, *_SCENARIO_KEYS, "machines", "noise_seed"))
    if "machines" in asked and one:
        raise WishError(f"machines and {next(iter(one))}: give one of them")
    if "machines" not in asked and "generator" not in one and "kind" not in one:
        raise WishError(
            f"generator: name one of {', '.join(GENERATORS)}, or {TRUE} for true randomness"
        )
    machines = asked.get("machines", [one])
    if not isinstance(machines, list):
        raise WishError(f"machines: wanted a list of one or two, got {shown(machines)}")
    made = [_machine(machine, entropy) for machine in machines]
    noise_seed = asked.get("noise_seed")
    if noise_seed is None:
        noise_seed = int.from_bytes(entropy(8), "little")
    _check_whole("noise_seed", noise_seed, 0, (1 << 64) - 1)
    settings = {key: asked[key] for key in _SCENARIO_KEYS if key in asked}
    try:
        scenario = Scenario.model_validate(settings | {"machines": [each for each, _ in made]})
    except (ValidationError, MappingError) as error:
        raise WishError(_message(error)) from None
    return Wish(scenario, noise_seed, any(secret for _, secret in made))


def machine_words(machine: PseudoMachine | TrueMachine) -> str:
    """A machine in a few words, without its seed."""
    match machine:
        case TrueMachine():
            return "true randomness"
        case PseudoMachine():
            gap = f", gap {machine.gap}" if machine.gap else ""
            offset = f", offset {machine.offset}" if machine.offset else ""
            return f"{machine.generator} ({machine.mapping}{gap}{offset})"


def _machine(asked: object, entropy: Entropy) -> tuple[PseudoMachine | TrueMachine, bool]:
    """A machine with what is usual for what was left out, and whether its seed is secret."""
    if not isinstance(asked, Mapping):
        raise WishError(f"machines: wanted an object {{...}} each, got {shown(asked)}")
    _refuse_unknown(asked, _MACHINE_KEYS)
    given = {key: value for key, value in asked.items() if value is not None}
    if given.get("generator") == TRUE or given.get("kind") == "true":
        others = [key for key in given if key not in {"kind", "generator"}]
        if others or {given.get("generator", TRUE), given.get("kind", "true")} != {"true"}:
            raise WishError(f"true randomness takes no other key, got {shown(dict(asked))}")
        return TrueMachine(), False
    bits = given.pop("seed_bits", _SEED_BITS)
    _check_whole("seed_bits", bits, 1, 64)
    if not isinstance(given.get("generator"), str):
        raise WishError(f"generator: wanted a name, got {shown(given.get('generator'))}")
    try:
        generator = generator_named(given["generator"])
        usual = {
            "mapping": _USUAL_MAPPING.get(generator.name, _OTHER_MAPPING),
            "seeding": generator.seedings[0],
        }
        secret = "seed" not in given and "state" not in given
        if secret:
            usual["seed"] = int.from_bytes(entropy(8), "little") >> (64 - bits)
        if isinstance(given.get("mapping"), str):
            mapping_named(given["mapping"])
        return PseudoMachine.model_validate(usual | given), secret
    except (ValidationError, GeneratorError, MappingError) as error:
        raise WishError(_message(error)) from None


def _refuse_unknown(asked: Iterable[str], known: tuple[str, ...]) -> None:
    for name in asked:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise WishError(f"no key {name!r}; {hint}")


def _check_whole(key: str, value: object, least: int, greatest: int) -> None:
    if type(value) is not int or not least <= value <= greatest:
        raise WishError(
            f"{key}: must be a whole number of {least} to {greatest}, got {shown(value)}"
        )


def _message(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    # What pydantic adds to a validator's own sentence would show the seed.
    own = [str(fault["ctx"]["error"]) for fault in error.errors() if fault["type"] == "value_error"]
    return "; ".join(own) or validation_message(error)
