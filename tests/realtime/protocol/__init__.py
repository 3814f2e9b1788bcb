"""Tests of frames, their schemas, close codes and room names."""
