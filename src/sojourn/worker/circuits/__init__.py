"""What a circuit's angles and times come to, before it is run."""
