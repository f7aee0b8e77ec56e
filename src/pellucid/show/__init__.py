"""Show: figures, films and pages of what was trained, found and dreamt."""
