"""The model families: what each searches, and the record its trainer takes."""

from gpu.params import Family
from steps.step5_training.families import catboost, lightgbm, neural_net, xgboost
from steps.step5_training.families.base import FamilySpec

SPECS: dict[Family, FamilySpec] = {
    spec.family: spec for spec in (neural_net.SPEC, xgboost.SPEC, lightgbm.SPEC, catboost.SPEC)
}
