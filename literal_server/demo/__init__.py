"""Demo data: a project one can look around in, made from a seed and dated back from now."""
