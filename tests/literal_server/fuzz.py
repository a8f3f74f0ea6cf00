"""How long the property tests look: a few seconds each, or with FUZZ=50 in the environment fifty times as long."""

import os

from hypothesis import HealthCheck, Phase, settings

FACTOR = int(os.environ.get("FUZZ", "1"))


def examples(count: int) -> settings:
    """Settings for a property test of so many examples; its fixtures may serve all of them."""
    checks = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
    phases = [Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink]  # explaining a failure takes minutes here
    return settings(max_examples=count * FACTOR, deadline=None, suppress_health_check=checks, phases=phases)
