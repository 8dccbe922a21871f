"""Checkpoints: sharded, content-addressed, complete or invisible. No pickle.

    <job>/checkpoints/epoch-<n>/step-<k>/{manifest.json, shard-*.json}
    <job>/checkpoints/chunks/<2 digits>/<sha256>

A rank's state is one byte stream, cut into chunks. Its shard index says which rows of which tensor
lie where in the stream. The manifest names all shard indexes by their hash and is written last.
"""
