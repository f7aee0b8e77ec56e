"""Files of networks and trainings: safetensors, CSV tables, TOML, checkpoints."""
