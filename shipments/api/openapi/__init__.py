"""The OpenAPI document: what all operations share, schemas that several folders use, and its pages."""
