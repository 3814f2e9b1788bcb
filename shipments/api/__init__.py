"""The REST API below `/api/`: each folder holds the views of one concept with their serializers and schemas.

A view parses the request, calls one service or selector, and renders what it returns.
"""
