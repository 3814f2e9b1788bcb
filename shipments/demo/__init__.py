"""The demo: a fictitious carrier on the real map, loaded in bulk and kept moving by a simulator."""
