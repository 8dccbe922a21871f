"""The control plane's decisions: `apply`, `decide`, `commands`, `explain` over one state.

Everything here is pure: time is a value, and nothing is read or written but the state.
"""
