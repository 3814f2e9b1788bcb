"""The rules of freight: pure Python without Django or a database."""
