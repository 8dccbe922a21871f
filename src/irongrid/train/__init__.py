"""Inside a rank: model, parallelism, data, loop and checkpoints. All torch is here."""
