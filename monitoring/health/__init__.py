"""Health endpoints, answered before Django, and the background checks behind them."""
