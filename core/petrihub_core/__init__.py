"""What every floor shares: words, names, settings, records."""
