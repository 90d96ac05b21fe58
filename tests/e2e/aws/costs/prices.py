"""What AWS asks, in US dollars: list prices of us-east-1, without any free tier.

None of the sources is AWS's own pricing page: each is somebody's reading of it, or of the price
list that AWS publishes for programs. AWS's pricing pages decide.
"""

from collections.abc import Mapping

from streamer_core.records import record


@record
class Price:
    """What one of something costs.

    Args:
        dollars: for one.
        read_in: where this price was read, and what date that bears.
    """

    dollars: float
    read_in: str


_PRICE_LIST = (
    "`docs/research/price-book.md` in `github.com/ocelhq/ocel`, commit `b3c9bd1`: AWS's price list "
    "files of us-east-1, retrieved on 2026-09-06."
)
_PRICING_PAGE = (
    "`plans/amazon-web-services-plans-pricing.yml` in `github.com/api-evangelist/"
    "amazon-web-services`, commit `36babc0`: the examples on AWS's page on API Gateway's prices, "
    "which are of US regions, read on 2026-09-20."
)
_GUIDE = (
    "“Amazon SQS Pricing: Complete Guide + Calculator (2026)”, `cloudburn.io/blog/"
    "amazon-sqs-pricing`, 2026-03-14: us-east-1, as of March 2026."
)

PRICES: Mapping[str, Price] = {
    # DynamoDB, on demand: 1 KB written once, or an index entry.
    "write unit": Price(dollars=0.625e-6, read_in=_PRICE_LIST),
    # DynamoDB, on demand: 4 KB read consistently.
    "read unit": Price(dollars=0.125e-6, read_in=_PRICE_LIST),
    # API Gateway, the first billion: 32 KB to a client or from it.
    "message": Price(dollars=1.00e-6, read_in=_PRICING_PAGE),
    "connection minute": Price(dollars=0.25e-6, read_in=_PRICING_PAGE),
    "invocation": Price(dollars=0.20e-6, read_in=_PRICE_LIST),
    # Lambda on arm64, the first 7.5 billion.
    "GB-second": Price(dollars=13.3334e-6, read_in=_PRICE_LIST),
    # SQS, standard queues, the first 100 billion.
    "queue call": Price(dollars=0.40e-6, read_in=_GUIDE),
}

FUNCTION_GB = 0.5
"""The memory of the functions that run no handler, as lambdas/template.yaml has it."""

FUNCTION_S = 0.03
"""How long one of those takes, as a rule: some calls of DynamoDB, 4 to 8 ms each. Assumed here; a
deployment's own figure is in its logs."""

IDLE_READS_A_MINUTE = 15
"""How often Lambda asks an empty queue for timers: five calls side by side, as AWS's announcement
of queues as event sources (June 2018) is quoted, each of which waits for 20 seconds, the longest
that SQS knows. Reckoned, not measured."""
