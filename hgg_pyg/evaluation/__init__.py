"""Scores of avatars and what a person looks at: metrics, reports, and what a network attends to."""
