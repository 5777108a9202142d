"""Providers as tables: one module for each library."""
