"""The tasks that a renderer process runs. They import nothing of the product outside `exports.sandbox`."""
