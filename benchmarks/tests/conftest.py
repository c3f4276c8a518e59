"""The fixtures of the product's tests."""

from tests.conftest import (
    backbone,
    bundle,
    clean_environment,
    encoder,
    features,
    head,
    preprocessing,
)

__all__ = [
    "backbone",
    "bundle",
    "clean_environment",
    "encoder",
    "features",
    "head",
    "preprocessing",
]
