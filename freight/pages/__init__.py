"""The product's web pages: one module a page, and the navigation bar that they share."""
