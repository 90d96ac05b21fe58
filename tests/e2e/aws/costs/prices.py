"""What AWS asks, in US dollars: list prices of us-east-1, without any free tier.

Sources: the pricing pages of Amazon DynamoDB (on-demand, standard tables, since 1 November 2024),
Amazon API Gateway (WebSocket APIs, the first billion messages), AWS Lambda (arm64, the first 7.5
billion GB-seconds) and Amazon SQS (standard queues), as known in November 2025.
"""

PRICES = {
    "write unit": 0.625e-6,  # DynamoDB: 1 KB written once, or an index entry
    "read unit": 0.125e-6,  # DynamoDB: 4 KB read consistently
    "message": 1.00e-6,  # API Gateway: 32 KB to a client or from it
    "connection minute": 0.25e-6,  # API Gateway
    "invocation": 0.20e-6,  # Lambda
    "GB-second": 13.3334e-6,  # Lambda
    "queue call": 0.40e-6,  # SQS
}

FUNCTION_GB = 0.5
"""The memory of the functions that run no handler, as lambdas/template.yaml has it."""

FUNCTION_S = 0.03
"""How long one of those takes, as a rule: some calls of DynamoDB, 4 to 8 ms each. Assumed here; a
deployment's own figure is in its logs."""
