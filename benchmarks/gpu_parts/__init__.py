"""What `python -m benchmarks.gpu` measures, a part a file; each part is a process of its own."""
