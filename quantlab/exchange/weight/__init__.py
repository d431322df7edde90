"""The weight budget: what a request costs, and when it may go, among all processes of a user."""
