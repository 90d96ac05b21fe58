"""How cost grows with load: a file a curve, what judges them and what draws them."""

CURVES = ("connections", "queued", "subscribers", "chunks", "database", "plugins")
