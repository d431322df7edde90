"""The one stream connection of a run: subscribed within limits, watched, changed over without a hole."""
