"""The alerts drill: each alert's fault is caused for real, the alert seen to fire and to go away again."""
