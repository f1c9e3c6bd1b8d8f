"""Where to start a fine-tuning: candidates between models, and short runs that choose one."""
