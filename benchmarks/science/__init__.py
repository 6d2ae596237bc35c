"""Science: accuracies on real corpora, and the networks behind them."""
