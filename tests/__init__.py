"""Where the tests find what they are about."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The checkout: package, README and config.toml."""
SAMPLES = Path(__file__).parent / "samples"
"""Messages, REST answers and instrument records as the broker sent them."""
