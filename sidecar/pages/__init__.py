"""The pages on which accounts are connected: plain HTML, no script, nothing from anywhere else."""
