"""How often each verdict was given."""

from collections import Counter
from collections.abc import Iterator

from experiments.framework.results import Entry, entry
from experiments.jobs.claims.measure import Plan


def analyze(plan: Plan, data: None) -> Iterator[Entry]:
    """The number of claims by verdict, most frequent first."""
    for verdict, count in Counter(one.claim.verdict for one in plan.tested).most_common():
        yield entry("claims", count, verdict=verdict)
