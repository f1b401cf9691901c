"""The tables, plots, page and video of an experiment, and reading them back."""
