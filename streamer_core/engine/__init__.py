"""What happens to a message: one verb a file, plain functions over a `Runtime`."""
