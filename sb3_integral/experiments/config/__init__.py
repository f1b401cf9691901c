"""The configuration of an experiment: its schema, presets and file."""
