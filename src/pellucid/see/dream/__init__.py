"""Dreams: patterns carved into photographs."""
