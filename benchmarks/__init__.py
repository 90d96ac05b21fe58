"""What Streamer costs: `python -m benchmarks`. Tables to read, JSON to keep."""
