"""Who acts and what it may do: subjects and permissions, tokens, and the credentials behind them."""
