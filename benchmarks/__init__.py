"""How results are measured: every module runs as `python -m benchmarks.NAME [--quick] [--json FILE]`."""
