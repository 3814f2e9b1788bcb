"""Journeys through REST: exports, documents, and the published schema under fuzzing."""
