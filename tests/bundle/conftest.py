"""What the tests of the bundle share."""

import pytest

from edgesplit.bundle.bundle import Bundle
from tests.bundles import split


@pytest.fixture
def busy(bundle: Bundle) -> Bundle:
    """Five heads: the first, two splits, one of them undone, and a rename."""
    bundle.publish(split(bundle))
    bundle.publish(split(bundle, "holding something"))
    bundle.publish(bundle.merge_class("pushing something"))
    bundle.publish(bundle.rename_class("moving something up", "lifting something"))
    return bundle
