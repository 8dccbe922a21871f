"""What a plan costs: time, memory, energy, money and carbon, by column arithmetic."""
