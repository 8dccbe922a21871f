"""The nouns of Irongrid: frozen values that every other package speaks in."""
