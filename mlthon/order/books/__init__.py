"""Order books for strategies: by level id, by price, and by order id."""
