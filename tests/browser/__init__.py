"""Tests of the pages in Chromium, and of the browser client."""
