"""The commands of `python -m literal_server`: each takes its arguments and the settings and answers an exit code."""
